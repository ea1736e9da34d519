/** What support/numbers-on-loops.mjs proves, on four loops. */
import { everyNumberOnce } from './support/numbers-on-loops.mjs';

everyNumberOnce(4);
