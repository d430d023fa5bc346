/** What executors announce and the documents say; a test keeps it in step with package.json. */
export const VERSION = '0.1.0';
