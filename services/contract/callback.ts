/** Being told of a job's end: what a client asks for, and what it can see of it. */
import { z } from 'zod';

const URL_CHARS_MAX = 2_048;

function urlIssue(text: string): string | null {
  if (!URL.canParse(text)) return 'must be a URL';
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be https:// or http://';
  return url.username === '' && url.password === '' ? null : 'must not hold a name or password';
}

export const callbackRequestSchema = z.strictObject({
  url: z
    .string()
    .max(URL_CHARS_MAX, { error: `must be at most ${URL_CHARS_MAX} characters` })
    .superRefine((text, ctx) => {
      const message = urlIssue(text);
      if (message !== null) ctx.addIssue({ code: 'custom', message });
    })
    .describe('Where the job is posted once it has ended.'),
  secret: z
    .string()
    .regex(/^[\x20-\x7e]{16,256}$/, { error: 'must be 16 to 256 printable characters' })
    .describe('Signs what is posted; never returned.'),
});

export const callbackSchema = z.strictObject({
  state: z.enum(['pending', 'delivered', 'failed']),
  attempts: z.number().int().nonnegative(),
  nextAttemptAt: z.iso
    .datetime()
    .nullable()
    .describe('Null: the job has not ended, or it is over.'),
  lastStatus: z.number().int().nullable().describe('Null: no answer came.'),
});

export type CallbackRequest = z.infer<typeof callbackRequestSchema>;
export type Callback = z.infer<typeof callbackSchema>;
