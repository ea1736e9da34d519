/** What support/numbers-on-loops.mjs proves, on two loops. */
import { everyNumberOnce } from './support/numbers-on-loops.mjs';

everyNumberOnce(2);
