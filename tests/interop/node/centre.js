// An SMS centre on npm smpp: every octet is read and written by that library. See tests/interop/centres.py for
// what it does and says. Arguments: port, password, and for TLS the files of certificate, key and authority.
"use strict";
const fs = require("fs");
const smpp = require("smpp");

const [port, password, certificate, key, authority] = process.argv.slice(2);
const say = (event) => fs.writeSync(1, JSON.stringify(event) + "\n");
const listeners = new Map();
const refused = new Set();
let next = 1;

const FATES = { "0000": ["UNDELIV", 5, "069"], "0001": ["EXPIRED", 3, "070"] };
const REFERENCE = Buffer.from([5, 0, 3, 77, 2]);

function deliver(system, fields) {
  const session = listeners.get(system);
  if (session) session.deliver_sm(fields, (answer) => say({ event: "acked", status: answer.command_status }));
}

function report(system, pdu, id) {
  const [word, state, error] = FATES[pdu.destination_addr.slice(-4)] || ["DELIVRD", 2, "000"];
  deliver(system, {
    source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4,
    short_message: `id:${id} sub:001 dlvrd:001 submit date:2611231200 done date:2611231200 stat:${word} err:${error} text:`,
    receipted_message_id: id, message_state: state, user_message_reference: pdu.user_message_reference,
  });
}

function answer(system, pdu) {
  const way = { source_addr: pdu.destination_addr, destination_addr: pdu.source_addr };
  const ending = pdu.destination_addr.slice(-4);
  if (ending === "0002") deliver(system, { ...way, data_coding: 8, short_message: "退订" });
  if (ending === "0006") deliver(system, { ...way, data_coding: 0, short_message: "no [€] thanks" });
  if (ending === "0005") {
    const halves = ["长".repeat(67), "短信"];
    [1, 0].forEach((place) => deliver(system, {
      ...way, data_coding: 8, esm_class: 0x40,
      short_message: { udh: Buffer.concat([REFERENCE, Buffer.from([place + 1])]), message: halves[place] },
    }));
  }
}

function take(session, system, pdu) {
  const number = pdu.destination_addr;
  if (number.endsWith("0003") && !refused.has(number)) {
    refused.add(number);
    session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
    return;
  }
  const payload = pdu.message_payload !== undefined;
  const content = payload ? pdu.message_payload : pdu.short_message;
  const udh = content.udh ? Buffer.concat(content.udh.map((one) => Buffer.from(one))) : Buffer.alloc(0);
  const id = (next++).toString(16);
  say({
    event: "submit", id, number, source: pdu.source_addr, text: content.message, udh: udh.toString("hex"),
    way: payload ? "payload" : "short", reference: pdu.user_message_reference,
    receipt: pdu.registered_delivery === 1, until: pdu.validity_period ? pdu.validity_period.toISOString() : "",
  });
  session.send(pdu.response({ message_id: id }));
  if (pdu.registered_delivery === 1) report(system, pdu, id);
  answer(system, pdu);
}

const options = certificate
  ? { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ca: fs.readFileSync(authority),
      requestCert: true, rejectUnauthorized: true }
  : {};
const server = smpp.createServer(options, (session) => {
  let system = "";
  for (const kind of ["transceiver", "transmitter", "receiver"]) {
    session.on("bind_" + kind, (pdu) => {
      if (pdu.password !== password) {
        session.send(pdu.response({ command_status: smpp.ESME_RINVPASWD }));
        session.close();
        return;
      }
      system = pdu.system_id;
      session.send(pdu.response({ system_id: "node" }));
      say({ event: "bind", kind });
      if (kind !== "transmitter") listeners.set(system, session);
      session.enquire_link({}, () => say({ event: "enquired" }));
    });
  }
  session.on("enquire_link", (pdu) => { say({ event: "enquire" }); session.send(pdu.response()); });
  session.on("unbind", (pdu) => { say({ event: "unbind" }); session.send(pdu.response()); session.close(); });
  session.on("submit_sm", (pdu) => take(session, system, pdu));
  session.on("close", () => { if (listeners.get(system) === session) listeners.delete(system); });
  session.on("error", () => session.destroy());
});
server.on("tlsClientError", () => say({ event: "refused" }));
server.listen(Number(port), "127.0.0.1", () => say({ event: "listening", port: server.address().port }));
