/** The packages that tests/e2e/package.json pins. */
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../e2e/package.json', import.meta.url));

export const { WebSocket, WebSocketServer } = require('ws');
export const terser = () => require('terser');
export const typescript = () => require('typescript');
