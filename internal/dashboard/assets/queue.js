'use strict';
// The durable queue: what is dead or waits after a failure, what happened to it,
// and what an operator does about it. Beside it the cache, in numbers.
const percent = new Intl.NumberFormat('en', {style: 'percent', maximumFractionDigits: 2});
const unreachable = 'The service is not reachable.';
const queue = {limit: 20, most: 1000, turn: 0, text: '', asked: 0, opened: null};

function age(seconds) {
  const [unit, size] = [['days', 86400], ['h', 3600], ['min', 60], ['s', 1]].find(([, size]) => seconds >= size) ?? ['s', 1];
  return `${number.format(seconds / size)} ${unit}`;
}

// alarm shows a number that is bad unless it is 0.
function alarm(id, n, text) {
  $(id).textContent = text;
  $(id).className = n > 0 ? 'bad' : '';
}

function showDepth({depth, oldest}) {
  $('depth').hidden = depth.dead === undefined;
  if (depth.dead === undefined) return;
  $('queued').textContent = number.format(depth.queued);
  $('retrying').textContent = number.format(depth.retrying);
  alarm('dead', depth.dead, number.format(depth.dead));
  $('oldest').textContent = depth.queued + depth.retrying > 0 ? age(oldest) : '–';
}

function showCache({cache}) {
  $('cache').hidden = cache.hits === undefined;
  if (cache.hits === undefined) return;
  const passed = cache.marks_met + cache.leases_met;
  const all = cache.hits + cache.misses + passed + cache.fallbacks;
  for (const [id, n] of [['hits', cache.hits], ['misses', cache.misses], ['passed', passed], ['fallbacks', cache.fallbacks]]) {
    $(id).textContent = all > 0 ? percent.format(n / all) : '–';
    $(id).title = number.format(n);
  }
  alarm('differences', cache.differences, `${number.format(cache.differences)} of ${number.format(cache.checked)}`);
}

// showQueue asks for the list every third time: it changes slowly.
async function showQueue() {
  if (queue.turn++ % 3 === 0) await Promise.all([showEntries(), showOpened()]);
}

const due = t => t.due_at ? time(t.due_at) : '';
const why = t => t.code ? el('span', {className: 'wide'}, el('span', {className: 'bad'}, t.code), ' ', t.detail ?? '') : '';
const opener = t => el('button', {className: 'link id', type: 'button', onclick: () => openEntry(t.id)}, t.id);

async function showEntries() {
  const states = $('states').value;
  const answers = await Promise.all(states.split(',').map(state => get(`/v1/intake?state=${state}&limit=${queue.limit}`)));
  if (states !== $('states').value) return; // others were asked for meanwhile
  $('queue').hidden = answers.some(a => a.status === 404); // this service keeps no queue
  const text = JSON.stringify(answers);
  if (text === queue.text) return; // whoever reads or is at a button is not disturbed
  queue.text = text;
  const focused = $('entries').contains(document.activeElement) ? document.activeElement.textContent : null;
  const fault = answers.find(a => !a.ok);
  const more = !fault && answers.some(a => a.body.next_cursor);
  $('entries').replaceChildren(fault ? el('p', {className: 'bad'}, fault.body.detail) : table([
    ['ID', opener], ['source', t => link(t.source)], ['destination', t => link(t.destination)],
    ['amount', t => money(t.amount, t.currency), true], ['failed', t => String(t.failed_attempts ?? 0), true], ['state', t => t.state],
    ['due (UTC)', due], ['last error', why],
  ], answers.flatMap(a => a.body.entries), 'None.'), more ? moreEntries() : '');
  if (focused !== null) [...$('entries').querySelectorAll('button')].find(b => b.textContent === focused)?.focus();
}

function moreEntries() {
  if (queue.limit >= queue.most) return el('p', {className: 'soft'}, 'There are more: rbcs intake list shows them.');
  return el('p', {}, el('button', {type: 'button', onclick: () => {
    queue.limit = Math.min(queue.limit * 5, queue.most);
    showEntries().catch(() => {});
  }}, 'Show more'));
}

function timeline(attempts) {
  return [el('h3', {}, 'In the queue'), table([
    ['at (UTC)', a => time(a.at)], ['what', a => a.omitted ? `${a.kind}, and ${number.format(a.omitted)} more before it` : a.kind], ['why', a => el('span', {className: 'wide'}, [a.code, a.detail].filter(Boolean).join(': '))],
    ['by', a => [a.actor, a.instance].filter(Boolean).join(' on ')], ['next (UTC)', a => a.next_at ? time(a.next_at) : ''],
  ], attempts)];
}

// entryBox shows a transaction that is, or was, in the queue. The last one that was opened is followed.
function entryBox(t) {
  const opened = queue.opened = {id: t.id, box: el('div', {role: 'group', ariaLabel: 'Transaction ' + t.id, tabIndex: -1})};
  drawEntry(opened, t);
  return opened.box;
}

function drawEntry(opened, t) {
  opened.text = JSON.stringify(t);
  opened.box.replaceChildren(...transaction(t, t.state ? actions(t, opened) : ''));
}

async function openEntry(id) {
  const mine = ++queue.asked;
  const {ok, body} = await get('/v1/intake/' + encodeURIComponent(id)).catch(() => ({body: {detail: unreachable}}));
  if (mine !== queue.asked) return; // another was opened meanwhile
  $('entry').replaceChildren(ok ? entryBox(body) : el('p', {className: 'bad', role: 'alert'}, body.detail));
  $('entry').firstChild.focus();
}

// showOpened asks what became of the entry that is open, unless somebody is about to do something.
async function showOpened() {
  const {opened} = queue, input = opened?.box.querySelector('input');
  if (!input || !opened.box.isConnected || input.value || opened.box.querySelector(':focus')) return;
  const {ok, body} = await get('/v1/transactions/' + encodeURIComponent(opened.id)); // it may be decided by now
  if (ok && input.isConnected && !input.value && JSON.stringify(body) !== opened.text) drawEntry(opened, body);
}

// actions are what an operator may do with an entry.
function actions(t, opened) {
  const reason = el('input', {maxLength: 1024, autocomplete: 'off'});
  const fault = el('p', {className: 'bad', role: 'alert'});
  const button = (text, act) => el('button', {type: 'button', onclick: () => act().catch(() => { fault.textContent = unreachable; })}, text);
  const post = async verb => {
    buttons.forEach(b => { b.disabled = true; });
    try {
      const {ok, body} = await send(`/v1/intake/${encodeURIComponent(t.id)}/${verb}`, reason.value ? {reason: reason.value} : {});
      if (!ok) {
        fault.textContent = [body.detail, ...(body.errors ?? []).map(e => e.detail)].join(' ');
      } else {
        drawEntry(opened, body);
        opened.box.focus();
      }
    } finally {
      buttons.forEach(b => { b.disabled = false; });
    }
    await showEntries();
  };
  const discard = async () => {
    if (!reason.value.trim()) {
      fault.textContent = 'To discard it, give a reason.';
      reason.focus();
    } else if (confirm(`Discard ${t.id}? It is never posted then, unless it is replayed.`)) {
      await post('discard');
    }
  };
  const again = t.state !== 'queued' || t.failed_attempts > 0; // what only waits for its time is not replayed
  const buttons = [...(again ? [button('Replay', () => post('replay'))] : []), ...(t.state === 'discarded' ? [] : [button('Discard', discard)])];
  return el('form', {className: 'act', onsubmit: event => event.preventDefault()},
    el('label', {}, 'Reason ', reason), ...buttons, fault);
}
