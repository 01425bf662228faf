// SPDX-License-Identifier: Apache-2.0
//
// Receives audio forks with Node's `ws` and writes each connection's samples to a file of its own.
//
//   node server.js [HOST [PORT [FOLDER]]]        (127.0.0.1 8080 .)
//
// The files are headerless signed 16-bit samples (.sln), which Asterisk plays and `audiofork report` reads.

'use strict';

const fs = require('fs');
const path = require('path');
const { WebSocketServer } = require('ws');

const [host = '127.0.0.1', port = '8080', folder = '.'] = process.argv.slice(2);
let streams = 0;

// perMessageDeflate: audio hardly shrinks, and every connection would cost memory.
const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: false });

server.on('listening', () => console.log(`listening on ${server.address().port}`));

server.on('error', (error) => {
  console.error(`cannot listen on ${host}:${port}: ${error.message}`);
  process.exit(1);
});

server.on('connection', (socket, request) => {
  const number = ++streams;
  const rate = Number(request.headers['audiofork-rate']) || 8000;
  const channels = Number(request.headers['audiofork-channels']) || 1;
  const file = path.join(folder, `${process.pid}-${number}.sln`);
  // 'wx' refuses to overwrite; an error ends this stream only.
  const output = fs.createWriteStream(file, { flags: 'wx' });
  let bytes = 0;
  const seconds = () => (bytes / 2 / channels / rate).toFixed(2);

  output.on('error', (error) => {
    console.error(`stream ${number}: ${error.message}`);
    socket.close(1011, 'cannot write');
  });
  const progress = setInterval(() => console.log(`stream ${number}: ${seconds()} s`), 1000);
  console.log(`stream ${number}: started ${request.url} -> ${file}`);

  socket.on('message', (message, isBinary) => {
    if (!isBinary) return console.log(`stream ${number}: text ${JSON.stringify(message.toString())}`);
    bytes += message.length;
    // The disk is slower than the network: stop reading until it has caught up.
    if (!output.write(message)) {
      socket.pause();
      output.once('drain', () => socket.resume());
    }
  });
  // To end a fork from here: socket.close(1000). Without a code it is a break, and the fork connects again.
  socket.on('error', (error) => console.error(`stream ${number}: ${error.message}`));
  socket.on('close', (code) => {
    clearInterval(progress);
    output.end(() => console.log(`stream ${number}: ended ${seconds()} s, closed with ${code}`));
  });
});

function stop() {
  // Clients get 1001 and may send what is under way; who has not answered after a second is cut off.
  for (const socket of server.clients) {
    socket.close(1001, 'the receiver is stopping');
    setTimeout(() => socket.terminate(), 1000).unref();
  }
  server.close(); // The process ends when the last file has been closed.
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
