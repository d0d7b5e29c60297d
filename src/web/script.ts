/**
 * @module
 * What runs in the browser: takes changed rows as they come, and tells times as people do.
 */

/** The script of the status page. */
export const SCRIPT = `'use strict';
(() => {
  const units = [['day', 86400], ['hour', 3600], ['minute', 60]];
  const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  const relative = (ms) => {
    const seconds = Math.round(ms / 1000);
    for (const [unit, size] of units) {
      if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
    }
    return 'just now';
  };
  const tellTimes = () => {
    for (const time of document.querySelectorAll('time')) {
      const at = new Date(time.dateTime);
      time.title = at.toLocaleString();
      time.textContent = relative(at - Date.now());
    }
  };
  tellTimes();
  setInterval(tellTimes, 15000);

  const live = document.getElementById('live');
  const say = (state, text) => {
    if (!live || live.textContent === text) return;
    live.className = state;
    live.textContent = text;
  };
  // Rows are compared as the server wrote them, because the times in them were reworded here.
  const written = new Map();
  const remember = (row) => written.set(row.dataset.id, row.outerHTML);

  const replaceRow = (old, row) => {
    const held = old.contains(document.activeElement);
    old.replaceWith(row);
    if (held) row.querySelector('a')?.focus();
  };
  const takeRows = (list, rows) => {
    const shown = new Map([...list.children].map((row) => [row.dataset.id, row]));
    rows.forEach((row, index) => {
      const old = shown.get(row.dataset.id);
      shown.delete(row.dataset.id);
      const same = old && written.get(row.dataset.id) === row.outerHTML;
      remember(row);
      if (old && !same) replaceRow(old, row);
      const placed = same ? old : row;
      if (list.children[index] !== placed) list.insertBefore(placed, list.children[index] || null);
    });
    for (const gone of shown.values()) gone.remove();
  };
  const take = (html) => {
    const fresh = new DOMParser().parseFromString(html, 'text/html').getElementById('board');
    const board = document.getElementById('board');
    if (!fresh || !board) return;
    const list = board.querySelector('.apps');
    const rows = fresh.querySelectorAll('.app');
    const samePages = board.querySelector('.pages')?.outerHTML === fresh.querySelector('.pages')?.outerHTML;
    if (!list || rows.length === 0 || !samePages) {
      rows.forEach(remember);
      board.replaceWith(document.adoptNode(fresh));
    } else {
      board.querySelector('.headline').replaceWith(fresh.querySelector('.headline'));
      takeRows(list, [...rows].map((row) => document.adoptNode(row)));
    }
    tellTimes();
  };

  const source = new EventSource('/events' + location.search);
  source.addEventListener('board', (event) => {
    say('on', 'Live');
    take(event.data);
  });
  source.addEventListener('error', () => {
    // A stream that was refused is not tried again by the browser: the session ended.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 1000);
    say('off', 'Reconnecting…');
  });
  addEventListener('pagehide', () => source.close());
})();
`
