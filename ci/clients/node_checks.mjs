// The Node clients of ci/clients: http.request, undici, ws, and Chromium driven by playwright-core, each through the
// proxy. Prints `pass NAME` or `fail NAME: why` for each check. The ports come in the environment, from ci/clients/run.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';

const { env } = process;
const require = createRequire(`${env.node_folder}/`);
const { ProxyAgent, fetch } = require('undici');
const WebSocket = require('ws');
const { HttpsProxyAgent } = require('https-proxy-agent');
const { chromium } = require('playwright-core');

const HTTP = `http://origin.test:${env.http_port}`;
const HTTPS = `https://origin.test:${env.https_port}`;
const SOCKET = `ws://origin.test:${env.socket_port}/`;
const CONTENT = crypto.createHash('shake128', { outputLength: 1_000_000 }).update('upload').digest();
const CONTENT_SHA256 = crypto.createHash('sha256').update(CONTENT).digest('hex');
const proxy = new URL(env.proxy_url);

// A request in absolute-form, as a program without any proxy library would send it.
function plain(method, path, { body, headers = {}, agent } = {}) {
  return new Promise((resolve, reject) => {
    const options = {
      host: proxy.hostname, port: proxy.port, method, path: HTTP + path, agent,
      headers: { host: new URL(HTTP).host, ...headers },
    };
    const request = http.request(options, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({ response, text: Buffer.concat(parts).toString() }));
    });
    request.on('error', reject);
    if (body instanceof Readable) body.pipe(request);
    else request.end(body);
  });
}

function* pieces() {
  for (let at = 0; at < CONTENT.length; at += 10_007) yield CONTENT.subarray(at, at + 10_007);
}

function opened(options, url = SOCKET) {
  const socket = new WebSocket(url, options);
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket));
    socket.once('error', reject);
  });
}

function echoed(socket, message) {
  return new Promise((resolve, reject) => {
    socket.once('message', (data, binary) => resolve(binary ? data : data.toString()));
    socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
    socket.send(message);
  });
}

async function talk(socket, compressed) {
  assert.equal(socket.extensions.includes('permessage-deflate'), compressed, `extensions: ${socket.extensions}`);
  assert.equal(await echoed(socket, 'grün'), 'grün');
  assert.deepEqual(await echoed(socket, CONTENT), CONTENT);
  assert.equal(await echoed(socket, 'a'.repeat(1_000_000)), 'a'.repeat(1_000_000));
  const end = new Promise((resolve) => socket.once('close', (code, reason) => resolve([code, reason.toString()])));
  socket.send('close 4003 enough');
  assert.deepEqual(await end, [4003, 'enough']);
}

const checks = {
  'http.request, agent that keeps connections': async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => plain('GET', '/hello', { agent })));
    agent.destroy();
    assert.ok(answers.every(({ text }) => text === 'hello\n'));
    assert.ok(answers.every(({ response }) => response.headers['x-via'].includes('ringway')));
  },
  'http.request, upload in chunks': async () => {
    const { text } = await plain('POST', '/hash', { body: Readable.from(pieces()) });
    assert.deepEqual(JSON.parse(text), { sha256: CONTENT_SHA256, bytes: CONTENT.length, framing: 'chunked' });
  },
  'http.request, HEAD and 204': async () => {
    const head = await plain('HEAD', '/large');
    assert.equal(head.response.headers['content-length'], '20000000');
    assert.equal((await plain('GET', '/nothing')).response.statusCode, 204);
  },
  'http.request, trailers of the answer': async () => {
    const { response } = await plain('GET', '/chunked', { headers: { te: 'trailers' } });
    assert.equal(response.trailers['x-sum'], '1000');
  },
  'undici fetch, ProxyAgent': async () => {
    const dispatcher = new ProxyAgent({ uri: env.proxy_url });
    const answers = await Promise.all(Array.from({ length: 10 }, () => fetch(`${HTTP}/hello`, { dispatcher })));
    for (const answer of answers) assert.equal(await answer.text(), 'hello\n');
    const sent = await fetch(`${HTTP}/hash`, {
      method: 'POST', body: Readable.toWeb(Readable.from(pieces())), duplex: 'half', dispatcher,
    });
    assert.equal((await sent.json()).sha256, CONTENT_SHA256);
    await dispatcher.close();
  },
  'undici fetch, ProxyAgent, https': async () => {
    const dispatcher = new ProxyAgent({ uri: env.proxy_url, requestTls: { rejectUnauthorized: false } });
    const answer = await fetch(`${HTTPS}/large`, { dispatcher });
    const digest = crypto.createHash('sha256').update(Buffer.from(await answer.arrayBuffer())).digest('hex');
    await dispatcher.close();
    assert.equal(digest, env.large_sha256);
  },
  'ws, tunnel by https-proxy-agent': async () => {
    await talk(await opened({ agent: new HttpsProxyAgent(proxy), perMessageDeflate: { threshold: 0 } }), true);
  },
  'ws, tunnel, without compression': async () => {
    await talk(await opened({ agent: new HttpsProxyAgent(proxy), perMessageDeflate: false }), false);
  },
  'ws, absolute-form': async () => {
    const absolute = {
      perMessageDeflate: { threshold: 0 },
      createConnection: () => net.connect(proxy.port, proxy.hostname),
      finishRequest: (request) => {
        request.path = SOCKET.replace('ws:', 'http:');
        request.end();
      },
    };
    await talk(await opened(absolute), true);
  },
  'ws, absolute-form, an origin that does not upgrade': async () => {
    const refused = opened({
      createConnection: () => net.connect(proxy.port, proxy.hostname),
      finishRequest: (request) => {
        request.path = `${HTTP}/hello`;
        request.end();
      },
    });
    await assert.rejects(refused, /Unexpected server response: 200/);
  },
  'Chromium: page, images, WebSocket, form': browse,
};

async function browse() {
  const browser = await chromium.launch({
    executablePath: env.chromium,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', `--proxy-server=${env.proxy_url}`,
      '--proxy-bypass-list=<-loopback>', '--disable-dev-shm-usage',
    ],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${HTTP}/page?socket=${env.socket_port}`, { timeout: 60_000 });
    await page.waitForURL(`${HTTP}/form`, { timeout: 30_000 });
    assert.equal(await page.textContent('body'), 'noted');
  } finally {
    await browser.close();
  }
  const events = JSON.parse((await plain('GET', '/confirm')).text);
  const images = Array.from({ length: 12 }, (_, number) => `image ${number}`);
  assert.deepEqual(events.filter((event) => event.startsWith('image')).sort(), images.sort());
  assert.ok(events.includes(`report ${JSON.stringify({ loaded: 12, echoed: 'from the page' })}`), events.join('; '));
  assert.ok(events.includes('form grün & weiß'), events.join('; '));
}

for (const [name, check] of Object.entries(checks)) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('not done in 90 s')), 90_000);
  });
  try {
    await Promise.race([check(), late]);
    console.log(`pass ${name}`);
  } catch (error) {
    console.error(error);
    console.log(`fail ${name}: ${error.message.replaceAll('\n', ' ').slice(0, 300)}`);
  } finally {
    clearTimeout(timer);
  }
}
process.exit(0);
