// SPDX-License-Identifier: Apache-2.0
//
// Raw audio in, text back: what AudioFork(ws://…) sends goes to a recognizer with the Vosk server's protocol, and each
// utterance comes back as a text message.
//
//   node server.js [HOST [PORT [RECOGNIZER]]]        (127.0.0.1 8080 ws://127.0.0.1:2700)

'use strict';

const { WebSocket, WebSocketServer } = require('ws');

const [host = '127.0.0.1', port = '8080', recognizer = 'ws://127.0.0.1:2700'] = process.argv.slice(2);
const MESSAGE_SECONDS = 0.2; // in each message to the recognizer, which answers each one
const RATES = [8000, 192000]; // the lowest and the highest, in samples a second
const MOST_UNANSWERED = 16; // then the caller waits: behind more a slow recognizer would not see our pongs
const LAST_WORDS_MS = 10000; // a recognizer that does not close by then is left
let streams = 0;

const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: false });

server.on('listening', () => console.log(`listening on ${server.address().port}`));

server.on('error', (error) => {
  console.error(`cannot listen on ${host}:${port}: ${error.message}`);
  process.exit(1);
});

server.on('connection', (caller, request) => {
  const name = `stream ${++streams} ${request.url}`;
  const { 'audiofork-format': format = 'slin', 'audiofork-channels': channels = '1' } = request.headers;
  const rate = Number(request.headers['audiofork-rate'] ?? 8000);
  if (!/^slin/.test(format) || channels !== '1') {
    return caller.close(1008, 'one channel of slin or slin16, please');
  }
  if (!Number.isInteger(rate) || rate < RATES[0] || rate > RATES[1]) {
    return caller.close(1008, `audiofork-rate must be ${RATES[0]} to ${RATES[1]}`);
  }
  const words = new WebSocket(recognizer, { perMessageDeflate: false });
  let waiting = [];
  let bytes = 0;
  let unanswered = 0;

  function forward() {
    words.send(Buffer.concat(waiting));
    waiting = [];
    bytes = 0;
    if (++unanswered >= MOST_UNANSWERED) caller.pause();
  }

  caller.pause(); // until the recognizer is there
  words.on('open', () => {
    words.send(JSON.stringify({ config: { sample_rate: rate } }));
    caller.resume();
  });
  words.on('message', (message) => {
    unanswered = Math.max(0, unanswered - 1);
    if (unanswered < MOST_UNANSWERED / 2) caller.resume();
    let text;
    try {
      ({ text = '' } = JSON.parse(message.toString()));
      if (typeof text !== 'string') throw new TypeError('"text" is not a string');
    } catch (error) {
      console.error(`${name}: ${recognizer}: not an answer of the Vosk protocol: ${error.message}`);
      caller.resume(); // It has to read the other side's Close.
      caller.close(1011, 'the recognizer sends nonsense');
      return words.terminate();
    }
    if (!text) return; // words so far, or silence
    console.log(`${name}: ${text}`);
    if (caller.readyState === WebSocket.OPEN) caller.send(text);
  });
  words.on('error', (error) => console.error(`${name}: ${recognizer}: ${error.message}`));
  // 1013: the fork connects again later. When the caller has gone this does nothing.
  words.on('close', () => caller.close(1013, 'the recognizer has gone'));

  caller.on('message', (message, isBinary) => {
    if (!isBinary) return;
    waiting.push(message);
    bytes += message.length;
    if (bytes >= 2 * rate * MESSAGE_SECONDS && words.readyState === WebSocket.OPEN) forward();
  });
  caller.on('error', (error) => console.error(`${name}: ${error.message}`));
  caller.on('close', () => {
    if (words.readyState !== WebSocket.OPEN) return words.terminate();
    if (bytes > 0) forward();
    words.send('{"eof" : 1}'); // The last words come back, for the console alone.
    setTimeout(() => words.terminate(), LAST_WORDS_MS);
  });
});

function stop() {
  for (const socket of server.clients) {
    socket.close(1001, 'the server is stopping');
    setTimeout(() => socket.terminate(), 1000).unref();
  }
  server.close();
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
