// An SMS centre of somebody else's making (npm "smpp"), which counts for us: what it accepts is in its record before
// it answers, so that the record outlives the centre.
//
// node centre.js SMPP_MODULE PORT RECORD RECEIPT_SECONDS; RECORD "-" keeps none, RECEIPT_SECONDS "-" sends no receipts.
// It prints its port. On its standard input: "swallow SHARE" leaves that share of submissions unanswered, of which
// it takes one half and drops the other; "count" prints how many it has accepted since its start.
//
// The record has a line "A id number source reference" for each accepted message, and "R id" for each acknowledged
// receipt. At a start the record says which receipts are still to be sent.
'use strict';
const [module_, port, record, seconds] = process.argv.slice(2);
const fs = require('fs');
const readline = require('readline');
const smpp = require(module_);

const KEEPS = record !== '-';
const REPORTS = seconds !== '-';
const AT_ONCE = 4000; // receipts on their way at a time
const file = KEEPS ? fs.openSync(record, 'a') : null;
const sessions = new Set();
let waiting = []; // receipts to send, in the order in which they fall due
let head = 0;
let onTheirWay = 0;
let swallow = 0;
let accepted = 0;
let last = 0;

function remember() {
  const open = new Map();
  for (const line of fs.readFileSync(record, 'utf8').split('\n')) {
    const [kind, id, number, source, reference] = line.split(' ');
    if (kind === 'A' && reference !== undefined) {
      last = Math.max(last, parseInt(id, 16));
      open.set(id, { id, number, source, reference: reference === '-' ? undefined : +reference, due: 0 });
    } else if (kind === 'R') {
      open.delete(id);
    }
  }
  if (REPORTS) waiting = [...open.values()];
}
if (KEEPS) remember();

function take(pdu) {
  const id = (++last).toString(16).padStart(8, '0');
  const reference = pdu.user_message_reference;
  accepted += 1;
  if (KEEPS) {
    const told = reference === undefined ? '-' : reference;
    fs.writeSync(file, `A ${id} ${pdu.destination_addr} ${pdu.source_addr} ${told}\n`);
  }
  if (REPORTS && pdu.registered_delivery) {
    const due = Date.now() + seconds * 1000;
    waiting.push({ id, number: pdu.destination_addr, source: pdu.source_addr, reference, due });
  }
  return id;
}

function submitted(session, pdu) {
  if (swallow && Math.random() < swallow) {
    if (Math.random() < 0.5) take(pdu);
    return;
  }
  session.send(pdu.response({ message_id: take(pdu) }));
}

function report() {
  const now = Date.now();
  const session = [...sessions].find((one) => one.bound && one.socket.writable);
  while (session && head < waiting.length && waiting[head].due <= now && onTheirWay < AT_ONCE) {
    const told = waiting[head++];
    const fields = {
      source_addr: told.number,
      destination_addr: told.source,
      esm_class: 4,
      short_message: `id:${told.id} sub:001 dlvrd:001 submit date:2611240900 done date:2611240900 stat:DELIVRD err:000 text:`,
      receipted_message_id: told.id,
      message_state: 2,
    };
    if (told.reference !== undefined) fields.user_message_reference = told.reference;
    onTheirWay += 1;
    session.reported.add(told);
    session.deliver_sm(fields, () => {
      if (!session.reported.delete(told)) return;
      onTheirWay -= 1;
      if (KEEPS) fs.writeSync(file, `R ${told.id}\n`);
    });
  }
  if (head > 10000) {
    waiting = waiting.slice(head);
    head = 0;
  }
}
if (REPORTS) setInterval(report, 20);

const server = smpp.createServer((session) => {
  sessions.add(session);
  session.reported = new Set();
  const bound = (pdu) => {
    session.bound = true;
    session.send(pdu.response({ system_id: 'centre' }));
  };
  for (const kind of ['bind_transceiver', 'bind_transmitter', 'bind_receiver']) session.on(kind, bound);
  session.on('submit_sm', (pdu) => submitted(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  const gone = () => {
    if (!sessions.delete(session)) return;
    onTheirWay -= session.reported.size;
    waiting = [...session.reported, ...waiting.slice(head)];
    head = 0;
    session.reported.clear();
  };
  session.on('close', gone);
  session.on('error', gone);
});
server.listen(+port, '127.0.0.1', () => console.log(server.address().port));

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, value] = line.split(' ');
  if (word === 'swallow') swallow = +value;
  if (word === 'count') console.log(accepted);
}).on('close', () => process.exit(0));
