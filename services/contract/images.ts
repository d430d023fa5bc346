/** The manifest of an image, as the image store keeps it beside the layers. */
import { z } from 'zod';

export const imageManifestSchema = z.object({
  name: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  layers: z.array(z.string().regex(/^[0-9a-f]{64}$/)).min(1),
  languages: z.array(z.string()),
  packages: z.array(z.object({ name: z.string(), version: z.string(), sha256: z.string() })),
  createdAt: z.string(),
});

export type ImageManifest = z.infer<typeof imageManifestSchema>;
