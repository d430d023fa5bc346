// The walls between the layers are lint rules, so that no plugin and no workspace is needed:
// contract <- platform <- api and contract <- platform <- executor.
import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const API = { regex: '(^|/)api/', message: 'The API is imported by nobody.' };
const EXECUTOR = {
  regex: '(^|/)(workers|executor)/',
  message: 'The executor is imported by nobody.',
};
const PLATFORM = { regex: '(^|/)platform/', message: 'The contract imports only zod and itself.' };
const PLATFORM_CLI = {
  regex: '(^|/)platform/',
  message: 'The CLI is a client: it knows the contract and HTTP.',
};
const KOFFI = {
  regex: '^koffi(/|$)',
  message: 'Only the binding in workers/executor loads koffi.',
};
const EXPRESS = { regex: '^express(/|$)', message: 'Only services/api knows HTTP.' };
const BULLMQ = {
  regex: '^bullmq(/|$)',
  message: 'BullMQ stays behind services/platform/task-queue.ts and scripts/deliver.ts.',
};
const CONTRACT_ONLY = {
  regex: '^(?!zod$|zod/|\\.{1,2}/)',
  message: 'The contract imports only zod and itself.',
};
const CLIENT_ONLY = {
  regex: '^(?!\\./|\\.\\./contract/)',
  message: 'The client imports only the contract and itself: it runs wherever fetch does.',
};

/** One wall: what the given files must not import. Later walls replace earlier ones. */
function wall(files, patterns) {
  return { files, rules: { 'no-restricted-imports': ['error', { patterns }] } };
}

export default defineConfig(
  { ignores: ['dist/', 'coverage/', 'node_modules/', 'native/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['vitest.config.ts', 'vitest.long.config.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only main.ts reads the environment.' },
      ],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      eqeqeq: 'error',
    },
  },
  wall(['services/contract/**/*.ts'], [CONTRACT_ONLY, API, EXECUTOR, PLATFORM]),
  wall(['services/platform/**/*.ts'], [API, EXECUTOR, KOFFI, EXPRESS, BULLMQ]),
  wall(
    ['services/platform/task-queue.ts', 'services/platform/scripts/deliver.ts'],
    [API, EXECUTOR, KOFFI, EXPRESS],
  ),
  wall(['services/api/**/*.ts'], [EXECUTOR, KOFFI, BULLMQ]),
  wall(['services/client/**/*.ts'], [CLIENT_ONLY]),
  wall(['services/cli/**/*.ts'], [API, EXECUTOR, PLATFORM_CLI, KOFFI, EXPRESS, BULLMQ]),
  wall(['workers/executor/**/*.ts'], [API, EXPRESS, BULLMQ]),
  wall(['infra/**/*.ts'], [KOFFI, EXPRESS, BULLMQ]),
  {
    files: ['**/main.ts', 'infra/**/*.ts', 'tests/**/*.ts', 'vitest.config.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    // A describe() is one function; supertest and JSON.parse hand out `any` by their nature.
    files: ['tests/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
