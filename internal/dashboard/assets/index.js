'use strict';
const $ = id => document.getElementById(id);
const number = new Intl.NumberFormat('en', {maximumFractionDigits: 1});
const every = 2000, points = 120;

// el makes an element. Text is only ever set as text: what clients wrote is not markup.
function el(name, props, ...children) {
  const e = Object.assign(document.createElement(name), props);
  e.append(...children.filter(c => c !== undefined && c !== null));
  return e;
}

async function get(path) {
  const response = await fetch(path, {signal: AbortSignal.timeout(10000)});
  const body = await response.json();
  return {ok: response.ok, status: response.status, body};
}

async function send(path, content) {
  const response = await fetch(path, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(content), signal: AbortSignal.timeout(30000)});
  return {ok: response.ok, body: await response.json()};
}

// The metrics that are shown, from Prometheus' text: name{labels} value.
async function metrics() {
  const sums = {posted: 0, rejected: 0, error: 0, commits: 0, seconds: 0, depth: {}, cache: {}};
  const response = await fetch('/metrics', {signal: AbortSignal.timeout(10000)});
  if (!response.ok) return null;
  for (const line of (await response.text()).split('\n')) {
    const value = Number(line.slice(line.lastIndexOf(' ') + 1));
    const outcome = /^rbcs_transactions_total\{.*outcome="(posted|held|rejected|error)"/.exec(line);
    const depth = /^rbcs_intake_depth\{.*state="(\w+)"/.exec(line);
    const cache = /^rbcs_cache_(hits|misses|marks_met|leases_met|fallbacks|checked|differences)_total[ {]/.exec(line);
    if (outcome) sums[outcome[1] === 'held' ? 'posted' : outcome[1]] += value;
    else if (depth) sums.depth[depth[1]] = value;
    else if (cache) sums.cache[cache[1]] = (sums.cache[cache[1]] ?? 0) + value;
    else if (line.startsWith('rbcs_intake_oldest_seconds ')) sums.oldest = value;
    else if (line.startsWith('rbcs_gateway_instances ')) sums.instances = value;
    else if (line.startsWith('rbcs_gateway_instances_ready ')) sums.ready = value;
    else if (line.startsWith('rbcs_commit_duration_seconds_sum ')) sums.seconds = value;
    else if (line.startsWith('rbcs_commit_duration_seconds_count ')) sums.commits = value;
  }
  return sums;
}

let before = null;
const rates = {posted: [], rejected: []};
async function showMetrics() {
  const now = await metrics();
  if (!now) return;
  if (now.instances !== undefined) return showGateway(now);
  const at = performance.now();
  $('posted').textContent = number.format(now.posted);
  $('rejected').textContent = number.format(now.rejected);
  if (before) {
    const seconds = (at - before.at) / 1000;
    for (const kind of ['posted', 'rejected', 'error']) {
      const rate = Math.max(0, now[kind] - before.now[kind]) / seconds; // a restart begins at zero
      $(kind + '-rate').textContent = number.format(rate);
      if (rates[kind]) rates[kind] = [...rates[kind], rate].slice(-points);
    }
    const commits = now.commits - before.now.commits;
    if (commits > 0) $('commit').textContent = number.format((now.seconds - before.now.seconds) / commits * 1000) + ' ms';
    const top = Math.max(1, ...rates.posted, ...rates.rejected);
    for (const kind of ['posted', 'rejected']) {
      const list = rates[kind];
      $(kind + '-line').setAttribute('points',
        list.map((rate, i) => `${points - list.length + i},${98 - 96 * rate / top}`).join(' '));
    }
  }
  showIdle();
  showDepth(now);
  showCache(now);
  before = {at, now};
}

// Through a gateway the metrics are the gateway's, which counts no transactions.
function showGateway({instances, ready}) {
  $('rates').hidden = true;
  $('idle').hidden = false;
  $('idle').textContent = `This is a gateway: ${ready} of ${instances} instances are ready. Rates are on the dashboard of each of them.`;
}

// An idle chart is a line at the bottom, which says so.
const minute = 60000 / every;
function showIdle() {
  const {posted, rejected} = rates;
  $('idle').hidden = posted.length === 0 || [...posted.slice(-minute), ...rejected.slice(-minute)].some(rate => rate > 0);
  $('idle').textContent = posted.length < minute ? 'No transactions since this page was opened.' : 'No transactions in the last minute.';
}

async function showHealth() {
  const pill = $('health');
  try {
    const ready = await get('/readyz');
    pill.textContent = ready.ok ? 'ready' : ready.body.detail;
    pill.className = 'pill ' + (ready.ok ? 'good' : 'bad');
    if (ready.ok) $('version').textContent = ready.body.version;
  } catch {
    pill.textContent = 'not reachable';
    pill.className = 'pill bad';
  }
}

const time = s => el('time', {dateTime: s, title: s}, s.slice(0, 19).replace('T', ' '));
const link = s => el('button', {className: 'link id', type: 'button', onclick: () => { $('query').value = s; search(s); }}, s);
const money = (amount, currency) => `${amount} ${currency ?? ''}`;
const tone = {rejected: 'bad', dead: 'bad', held: 'warn', queued: 'warn', discarded: 'soft', released: 'soft', expired: 'soft', reversed: 'soft'};
const status = t => el('span', {className: tone[t.status] ?? 'good', title: t.detail ?? ''}, t.code ?? t.status);
const party = s => s ? link(s) : '';

function table(columns, rows, empty = 'None yet.') {
  if (rows.length === 0) return el('p', {className: 'soft'}, empty);
  const cellOf = (row, [title, cell, right]) => { // on a narrow screen a cell says itself what it is
    const td = el('td', {className: right ? 'num' : ''}, cell(row));
    td.dataset.title = title;
    return td;
  };
  return el('table', {className: 'rows'},
    el('thead', {}, el('tr', {}, ...columns.map(([title, , right]) => el('th', {className: right ? 'num' : ''}, title)))),
    el('tbody', {}, ...rows.map(row => el('tr', {}, ...columns.map(column => cellOf(row, column))))));
}

// The latest transactions as they stand now: the list once, then the stream of
// events. While more is decided than anyone could read, or where there is no
// stream, the list is asked for every few seconds instead.
const shown = 15, tooFast = 300; // events in a second
const live = {source: null, rows: [], stale: new Set(), events: 0, since: 0, drawing: false, restAt: 0};

function showRows(error) {
  $('latest').replaceChildren(error ? el('p', {className: 'bad'}, error) : table([
    ['committed (UTC)', t => time(t.committed_at)], ['type', t => t.type], ['ID', t => link(t.id)], ['source', t => party(t.source)],
    ['destination', t => party(t.destination)], ['amount', t => t.amount ? money(t.amount, t.currency) : '', true], ['', status],
  ], live.rows));
}

// merge adds transactions to the rows. What is known of one later is truer.
function merge(list) {
  const all = new Map(live.rows.map(t => [t.sequence, t]));
  for (const t of list) all.set(t.sequence, t);
  live.rows = [...all.values()].sort((a, b) => b.sequence - a.sequence).slice(0, shown);
}

async function pollLatest() {
  const latest = await get('/v1/transactions?limit=' + shown);
  if (latest.ok) merge(latest.body.transactions);
  showRows(latest.ok ? '' : latest.body.detail);
}

// refresh asks what became of the rows that an event referred to.
async function refresh() {
  const ids = [...live.stale].filter(id => live.rows.some(t => t.id === id));
  live.stale.clear();
  const answers = await Promise.allSettled(ids.map(id => get('/v1/transactions?id=' + encodeURIComponent(id))));
  merge(answers.filter(a => a.status === 'fulfilled' && a.value.ok).flatMap(a => a.value.body.transactions));
}

function draw() {
  if (live.drawing) return;
  live.drawing = true;
  setTimeout(async () => {
    await refresh();
    live.drawing = false;
    showRows();
    if (live.stale.size > 0) draw();
  }, 200);
}

function unfollow(rest) {
  live.source?.close();
  live.source = null;
  live.restAt = performance.now() + rest;
  $('live').textContent = '';
}

function follow() {
  const source = live.source = new EventSource('/v1/events');
  source.onopen = () => { $('live').textContent = 'live'; pollLatest().catch(() => {}); };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) unfollow(30000); // refused; else the browser connects again
    else $('live').textContent = '';
  };
  source.addEventListener('transaction', event => {
    const now = performance.now();
    if (now - live.since > 1000) Object.assign(live, {since: now, events: 0});
    if (++live.events > tooFast) return unfollow(10000);
    const t = JSON.parse(event.data);
    if (t.original) live.stale.add(t.original);
    merge([t]);
    draw();
  });
}

async function showLatest() {
  if (!live.source && performance.now() >= live.restAt) follow();
  if (live.source?.readyState !== EventSource.OPEN) await pollLatest();
}

function facts(pairs) {
  return el('dl', {}, ...pairs.filter(([, v]) => v !== undefined).flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, v)]));
}

function account(a, changes, holds) {
  return [el('h3', {}, 'Account ', el('span', {className: 'id'}, a.number)),
    facts([['balance', money(a.balance, a.currency)], ['held', money(a.held, a.currency)],
      ['available', money(a.available, a.currency)], ['overdraft', a.overdraft], ['status', a.status],
      ['version', String(a.version)], ['changed', time(a.updated_at)]]),
    ...(holds.length === 0 ? [] : [el('h3', {}, 'Open holds'), table([['committed (UTC)', t => time(t.committed_at)], ['ID', t => link(t.id)],
      ['source', t => link(t.source)], ['destination', t => link(t.destination)], ['amount', t => t.amount, true],
      ['expires (UTC)', t => t.expires_at ? time(t.expires_at) : 'never']], holds), el('h3', {}, 'Changes')]),
    table([['committed (UTC)', t => time(t.committed_at)], ['type', t => t.type], ['ID', t => link(t.id)],
      ['with', t => link(t.direction === 'credit' ? t.source : t.destination)],
      ['change', t => t.change, true], ['balance', t => t.balance, true], ['held', t => t.held, true]], changes)];
}

const links = ['source', 'destination', 'original', 'account', 'settled_by'];
function transaction(t, form = '') {
  const known = Object.entries(t).filter(([k]) => k !== 'attempts').map(([k, v]) => [k.replaceAll('_', ' '),
    links.includes(k) ? link(v) : k === 'status' ? status({status: v}) : typeof v === 'object' ? JSON.stringify(v) : String(v)]);
  return [el('h3', {}, 'Transaction ', el('span', {className: 'id'}, t.id)), facts(known), form,
    ...(t.attempts ? timeline(t.attempts) : [])];
}

let asked = 0;
async function search(text) {
  const mine = ++asked;
  const name = encodeURIComponent(text.trim());
  if (!name) return $('found').replaceChildren();
  const found = [];
  try {
    // As parameters, since a browser would clean the path of the ID ".." away.
    const [a, t] = await Promise.all([get('/v1/accounts?number=' + name), get('/v1/transactions?id=' + name)]);
    if (a.ok && a.body.accounts.length > 0) {
      const [changes, holds] = await Promise.all([get(`/v1/accounts/${name}/transactions?order=desc&limit=10`),
        get(`/v1/transactions?account=${name}&status=held&limit=20`)]);
      found.push(...account(a.body.accounts[0], changes.ok ? changes.body.transactions : [], holds.ok ? holds.body.transactions : []));
    }
    if (t.ok) found.push(...t.body.transactions.flatMap(t => transaction(t)));
    if (found.length === 0) { // queued or a dead letter: not in the log that is listed
      const queued = await get('/v1/transactions/' + name);
      if (queued.ok && queued.body.id) found.push(entryBox(queued.body));
    }
    const fault = [a, t].find(r => r.status >= 500);
    if (found.length === 0) found.push(el('p', {className: 'bad'}, fault ? fault.body.detail : 'There is no account and no transaction of this name.'));
  } catch {
    found.push(el('p', {className: 'bad'}, unreachable));
  }
  if (mine === asked) $('found').replaceChildren(...found); // a later search may have been answered first
}

$('search').addEventListener('submit', event => {
  event.preventDefault();
  history.replaceState(null, '', '#' + encodeURIComponent($('query').value));
  search($('query').value);
});

$('states').addEventListener('change', () => showEntries().catch(() => {}));

async function tick() {
  if (document.hidden) unfollow(0);
  else await Promise.allSettled([showHealth(), showMetrics(), showLatest(), showQueue()]);
  setTimeout(tick, every);
}
tick();
if (location.hash) {
  $('query').value = decodeURIComponent(location.hash.slice(1));
  search($('query').value);
}
