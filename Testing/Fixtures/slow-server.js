// SPDX-License-Identifier: Apache-2.0
//
// A server on Node's `ws` that sleeps for 8 s after the first second of each connection, as slow-server.py does.
//
//   node slow-server.js FOLDER

'use strict';

const fs = require('fs');
const path = require('path');
const { WebSocketServer } = require('ws');

const STALL_MILLISECONDS = 8000;
const STALL_AFTER_BYTES = 16000;
const folder = process.argv[2];
let connections = 0;

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('listening', () => console.log(`listening on ${server.address().port}`));
server.on('connection', (socket) => {
  connections += 1;
  console.log(`connection ${connections}`);
  const file = fs.openSync(path.join(folder, `${connections}.raw`), 'wx');
  let bytesLeft = STALL_AFTER_BYTES;
  socket.on('message', (audio) => {
    fs.writeSync(file, audio);
    if (bytesLeft <= 0) return;
    bytesLeft -= audio.length;
    // The event loop stands still, so that no ping is answered.
    if (bytesLeft <= 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MILLISECONDS);
  });
});
