// Node's http server as an origin: one line of JSON on standard output for each request that it has read to its end.
// It ends when its standard input does.
'use strict';
const http = require('node:http');

const server = http.createServer({ maxHeaderSize: 65536 }, (request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const seen = {
      connection: String(request.socket.remotePort),
      method: request.method,
      target: request.url,
      body: Buffer.concat(parts).toString('base64'),
    };
    process.stdout.write(JSON.stringify(seen) + '\n');
    response.setHeader('X-Seen', request.url);
    response.end('seen\n');
  });
});
server.on('checkContinue', (request, response) => {
  response.writeContinue();
  server.emit('request', request, response);
});
server.listen(0, '127.0.0.1', () => process.stdout.write(JSON.stringify({ port: server.address().port }) + '\n'));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
