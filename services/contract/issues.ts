/** zod's issues as the API shows them: one entry per field, named by a path such as files[0].path. */
import type { z } from 'zod';
import type { Issue } from './problems.js';

/** More would tell nobody more, and a body can be made to have millions. */
const ISSUES_MAX = 32;
/** Keys come from the client and may be of any length. */
const PATH_CHARS_MAX = 200;

export function issuePath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? String(part) : `.${String(part)}`;
    if (text.length > PATH_CHARS_MAX) return `${text.slice(0, PATH_CHARS_MAX)}…`;
  }
  return text;
}

export function issuesOf(error: z.ZodError): Issue[] {
  const issues: Issue[] = [];
  for (const issue of error.issues) {
    if (issues.length >= ISSUES_MAX) break;
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys.slice(0, ISSUES_MAX)) {
        issues.push({ path: issuePath([...issue.path, key]), message: 'is not a known field' });
      }
    } else if (issue.code === 'invalid_key') {
      const reason = issue.issues[0]?.message ?? 'is not allowed as a name';
      issues.push({ path: issuePath(issue.path), message: reason });
    } else {
      issues.push({ path: issuePath(issue.path), message: issue.message });
    }
  }
  return issues.slice(0, ISSUES_MAX);
}
