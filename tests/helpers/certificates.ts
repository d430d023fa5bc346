/** An authority of a test's own, and certificates that it has signed. Made by openssl, good for a day. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export interface Authority {
  /** Its own certificate: who trusts it trusts what it has signed. */
  readonly path: string;
  readonly cert: string;
  /** For what subjectAltName says: `IP:127.0.0.1`, `DNS:example.test`. */
  sign(subjectAltName: string): Certificate;
  remove(): void;
}

const CONFIG = `
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
`;

export function createAuthority(name: string): Authority {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-certificates-'));
  const pathOf = (file: string): string => join(directory, file);

  function make(file: string, extensions: string, more: readonly string[]): Certificate {
    writeFileSync(pathOf('config'), `${CONFIG}${extensions}`);
    const what = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const where = ['-keyout', pathOf(`${file}.key`), '-out', pathOf(`${file}.pem`), '-days', '1'];
    const how = ['-config', pathOf('config'), '-subj', `/CN=${name} ${file}`];
    execFileSync('openssl', ['req', ...what, ...where, ...how, ...more], { stdio: 'pipe' });
    return {
      key: readFileSync(pathOf(`${file}.key`), 'utf8'),
      cert: readFileSync(pathOf(`${file}.pem`), 'utf8'),
    };
  }

  const { cert } = make('authority', '', ['-extensions', 'authority']);
  const path = pathOf('authority.pem');
  const signed = ['-CA', path, '-CAkey', pathOf('authority.key'), '-extensions', 'leaf'];
  let leaves = 0;
  return {
    path,
    cert,
    sign(subjectAltName) {
      leaves += 1;
      return make(`leaf${leaves}`, `[leaf]\nsubjectAltName = ${subjectAltName}\n`, signed);
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}
