#!/usr/bin/env node
// Leaves dots stuffed and gives no line end for the last line. It has no STLS.
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { env, argv, version } from 'node:process';

const require = createRequire('/opt/tools/node_modules/');
const { Client } = require('yapople');

if (argv[2] === 'version') {
  console.log(`${require('yapople/package.json').version}, node ${version.slice(1)}`);
} else {
  const client = new Client({
    host: env.HOST,
    port: Number(env.PORT),
    tls: env.WAY === 'tls',
    username: env.ACCOUNT,
    password: env.PASSWORD,
  });
  await client.connect();
  if (argv[2] === 'list') {
    const sizes = await client.list();
    console.log(`messages ${Object.keys(sizes).length}\noctets ${(await client.stat()).length}`);
    for (const number in sizes) console.log(`size ${number} ${sizes[number]}`);
  } else if (argv[2] === 'fetch') {
    (await client.retrieveAll()).forEach((octets, number) => writeFileSync(`mail/${number}`, octets));
  } else {
    await client.deleteAll();
  }
  await client.quit();
}
