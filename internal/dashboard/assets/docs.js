'use strict';
// A small reader of the OpenAPI document: operations by tag, then schemas.
const $ = id => document.getElementById(id);

function el(name, props, ...children) {
  const e = Object.assign(document.createElement(name), props);
  e.append(...children.filter(c => c !== undefined && c !== null));
  return e;
}

// type describes a schema in a word, as a link where it has a name.
function type(schema) {
  if (!schema) return 'any';
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop();
    return el('a', {href: '#' + name}, name);
  }
  if (schema.type === 'array') return el('span', {}, 'array of ', type(schema.items));
  return schema.format ? `${schema.type} (${schema.format})` : schema.type ?? 'any';
}

// notes says what else a schema asks for.
function notes(schema, description) {
  const bounds = [['one of', schema.enum?.join(', ')], ['default', schema.default], ['at least', schema.minimum],
    ['at most', schema.maximum], ['characters at most', schema.maxLength], ['items at most', schema.maxItems],
    ['pattern', schema.pattern], ['example', schema.examples?.[0]]];
  return [description ?? schema.description, ...bounds.filter(([, v]) => v !== undefined).map(([k, v]) => `${k}: ${v}`)]
    .filter(Boolean).join(' · ');
}

function rows(list) {
  return el('table', {}, el('tbody', {}, ...list.map(([name, required, schema, text]) => el('tr', {},
    el('td', {}, el('code', {}, name), required ? el('span', {className: 'bad', title: 'required'}, ' *') : ''),
    el('td', {}, type(schema)), el('td', {className: 'wide soft'}, notes(schema, text))))));
}

function content(media) {
  return Object.entries(media ?? {}).flatMap(([name, m], i) =>
    [i ? ', ' : '', type(m.schema), el('span', {className: 'soft'}, ` (${name})`)]);
}

function operation(path, method, op) {
  const body = [el('p', {}, op.description ?? '')];
  if (op.parameters?.length) {
    body.push(el('h3', {}, 'Parameters'), rows(op.parameters.map(p => [p.name, p.required, p.schema ?? {}, p.description])));
  }
  if (op.requestBody) body.push(el('h3', {}, 'Body'), el('p', {}, ...content(op.requestBody.content)));
  body.push(el('h3', {}, 'Answers'), el('table', {}, el('tbody', {}, ...Object.entries(op.responses).map(([status, r]) =>
    el('tr', {}, el('td', {}, el('code', {}, status)), el('td', {}, ...content(r.content)), el('td', {className: 'wide soft'}, r.description ?? ''))))));
  return el('details', {id: op.operationId}, el('summary', {}, el('code', {className: 'method'}, method.toUpperCase()),
    el('code', {}, path), el('span', {className: 'soft'}, '  ' + (op.summary ?? ''))), ...body);
}

function show(doc) {
  $('title').textContent = doc.info.title;
  $('version').textContent = doc.info.version;
  $('description').textContent = doc.info.description ?? '';
  const tags = new Map();
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const tag = op.tags?.[0] ?? 'other';
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(operation(path, method, op));
    }
  }
  $('operations').append(...[...tags].map(([tag, ops]) => el('section', {}, el('h2', {}, tag), ...ops)));
  $('schemas').append(...Object.entries(doc.components.schemas).map(([name, schema]) => el('details', {id: name},
    el('summary', {}, el('code', {}, name)),
    rows(Object.entries(schema.properties ?? {}).map(([p, s]) => [p, schema.required?.includes(p), s])))));
}

// A link to a closed part opens it.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
}
addEventListener('hashchange', openTarget);

fetch('/openapi.json').then(response => response.json()).then(doc => { show(doc); openTarget(); })
  .catch(() => { $('description').textContent = 'The document could not be loaded.'; });
