// A reporter for node's test runner: TAP with one line a case, however deep its describe() blocks nest, so that each is counted.
import { inspect } from 'node:util';

const printable = (text) => text.replace(/\s+/g, ' ').replaceAll('#', '');

function* lines({ name, skip, todo, details }, ok, number, path) {
  const directive = skip !== undefined ? ` # SKIP ${skip}` : todo !== undefined ? ` # TODO ${todo}` : '';
  yield `${ok ? 'ok' : 'not ok'} ${number} - ${printable([...path, name].join(': '))}${directive}\n`;
  if (!ok) {
    const error = details.error?.cause ?? details.error;
    for (const line of inspect(error).split('\n')) yield `# ${line}\n`;
  }
}

export default async function* report(events) {
  const path = []; // names of the blocks that the current test is in
  let number = 0;
  for await (const { type, data } of events) {
    if (type === 'test:start') {
      path[data.nesting] = data.name;
    } else if (type === 'test:pass' || type === 'test:fail') {
      // A block is no case of its own, unless it fails by itself and not by a case in it.
      const own = data.details.type !== 'suite' || (type === 'test:fail' && data.details.error?.failureType !== 'subtestsFailed');
      if (own) yield* lines(data, type === 'test:pass', ++number, path.slice(0, data.nesting));
    } else if (type === 'test:diagnostic') {
      yield `# ${printable(data.message)}\n`;
    }
  }
  yield `1..${number}\n`;
}
