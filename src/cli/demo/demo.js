/* What the scripts of the pages over Socket.IO have in common: the client, with its state in the corner. */

/** A client of this server, or null where the demo was built without npm's socket.io-client, and then the page says so. */
export function connect() {
  const box = document.getElementById('state');
  const tell = (state, words) => {
    box.dataset.state = state;
    if (box.textContent !== words) box.textContent = words;   // screen readers hear each change once
  };
  if (!window.io) {
    tell('broken', 'No client');
    const words = 'This demo was built without npm’s socket.io-client, which this page needs: /socket.io.js says how to get it.';
    document.querySelector('main').replaceChildren(make('p', 'empty', words));
    return null;
  }
  const socket = window.io();
  tell('connecting', 'Connecting…');
  socket.on('connect', () => tell('connected', 'Connected'));
  socket.on('disconnect', () => tell('connecting', 'Reconnecting…'));
  return socket;
}

export function make(tag, className, text = '') {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

export function makeTime(at) {
  const when = new Date(at);
  const time = make('time', '', when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  return time;
}

/** The same colour for the same name on every page. */
export function hue(name) {
  return [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 0);
}

/** Whatever strangers send, as text of bounded length. */
export function textOf(value, most = 4_000) {
  const text = typeof value === 'string' ? value : JSON.stringify(value) ?? '';
  return text.length > most ? `${text.slice(0, most).replace(/[\uD800-\uDBFF]$/, '')}…` : text;
}

/** Adds to a list that stays at its end unless its reader has scrolled up, and forgets what is old. */
export function append(list, item, most = 500) {
  const atEnd = list.scrollHeight - list.clientHeight - list.scrollTop < 48;
  list.querySelector('.empty')?.remove();
  list.append(item);
  while (list.childElementCount > most) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// iOS lays its keyboard over the page: give the page the height that is left.
window.visualViewport?.addEventListener('resize', ({ target: view }) => {
  if (view.scale > 1.01) return;   // somebody zoomed in
  document.documentElement.style.setProperty('--height', `${view.height}px`);
  window.scrollTo(0, 0);
});
