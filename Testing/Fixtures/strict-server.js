// SPDX-License-Identifier: Apache-2.0
//
// A strict server on Node's `ws`: talks in fragments with pings between them, and tells what it thinks of its clients.
//
//   node strict-server.js FOLDER        on a free port of 127.0.0.1, for 60 s at most
//
// The path of a connection is /NAME[-CODE]: its audio goes to FOLDER/NAME[-CODE].N, N its number; with CODE the first
// connection is closed with it after half a second of audio. Prints `listening on PORT`, and for each connection that
// ended `NAME.N closed CODE errors E pongs P of Q texts T said S`: protocol errors of the client, its right pongs to
// our pings, its texts, and the texts that it was told.

'use strict';

const fs = require('fs');
const path = require('path');
const { WebSocketServer } = require('ws');

const folder = process.argv[2];
const numbers = new Map();
// Cut inside of both characters of two bytes.
const text = Buffer.from('{"said":"κόσμε"}');
const pieces = [text.subarray(0, 10), text.subarray(10, 13), text.subarray(13)];

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('listening', () => console.log(`listening on ${server.address().port}`));
setTimeout(() => process.exit(1), 60000);
process.on('SIGTERM', () => process.exit(0));

server.on('connection', (socket, request) => {
  const name = request.url.slice(1);
  const number = (numbers.get(name) ?? 0) + 1;
  numbers.set(name, number);
  const file = fs.openSync(path.join(folder, `${name}.${number}`), 'wx');
  const code = number === 1 ? Number(name.split('-')[1] ?? 0) : 0;
  const waiting = [];
  let [bytes, errors, pings, pongs, texts, said, round] = [0, 0, 0, 0, 0, 0, 0];

  const ping = (length) => {
    const payload = Buffer.alloc(length, pings);
    pings += 1;
    waiting.push(payload);
    socket.ping(payload);
  };
  const talk = setInterval(() => {
    if (socket.readyState !== socket.OPEN) return;
    const step = round++ % 4;
    if (step === 3) return ping(0);
    socket.send(pieces[step], { binary: false, fin: step === 2 });
    if (step === 2) said += 1;
    ping(step === 0 ? 125 : 8);
    if (step === 1) socket.pong(Buffer.alloc(125, 7));
  }, 40);

  socket.on('pong', (payload) => {
    // Only the latest ping has to be answered; what is answered comes in the pings' order.
    const at = waiting.findIndex((sent) => sent.equals(payload));
    if (at < 0) return;
    waiting.splice(0, at + 1);
    pongs += 1;
  });
  socket.on('message', (message, isBinary) => {
    if (!isBinary) return void (texts += 1);
    fs.writeSync(file, message);
    bytes += message.length;
    if (code !== 0 && bytes >= 8000 && socket.readyState === socket.OPEN) {
      clearInterval(talk);
      socket.close(code, 'enough');
    }
  });
  socket.on('error', (error) => {
    errors += 1;
    console.log(`${name}.${number} error ${error.code} ${error.message}`);
  });
  socket.on('close', (closed) => {
    clearInterval(talk);
    fs.closeSync(file);
    console.log(
      `${name}.${number} closed ${closed} errors ${errors} pongs ${pongs} of ${pings} texts ${texts} said ${said}`);
  });
});
