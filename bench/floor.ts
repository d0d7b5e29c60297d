/**
 * @module
 * One deploy by hand, the floor that Helios is measured against: a bare `git push` over the least SSH
 * server there can be, a build and a container by the engine's API, and a reload of Caddy.
 */
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { request } from 'node:http'
import { type AddressInfo, createServer as createTcp } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Docker from 'dockerode'
import ssh2 from 'ssh2'
import { run } from '../src/lib/exec.ts'
import { ask, CADDY, freePort, SOCKET, untilAnswers } from './support.ts'

/** The parts of one deploy, milliseconds. */
export type Parts = {
  push: number
  build: number
  create: number
  start: number
  answer: number
  switch: number
  total: number
}

/** Deploys by hand, one after the other. */
export type Floor = {
  /** Where to push to. */
  url: string
  deploy(push: () => Promise<void>, wanted: string): Promise<Parts>
  remove(): Promise<void>
}

/** Get everything ready for deploys by hand of one app built by this Dockerfile. */
export async function createFloor(dir: string, dockerfile: string): Promise<Floor> {
  const repo = join(dir, 'bare.git')
  mkdirSync(dir, { recursive: true })
  await run(['git', 'init', '-q', '--bare', '-b', 'main', repo])
  const ssh = await bareSsh(repo)
  const docker = new Docker({ socketPath: SOCKET })
  const caddy = await startCaddy(dir)
  const network = await docker.createNetwork({
    Name: `floor-${Date.now()}`,
    Driver: 'bridge',
    IPAM: { Driver: 'default', Config: [{ Subnet: '10.99.252.0/24' }] },
  })
  let old: Docker.Container | undefined
  let _round = 0
  return {
    url: `ssh://git@127.0.0.1:${ssh.port}/bare.git`,
    deploy: async (push, wanted) => {
      _round += 1
      const at: number[] = [performance.now()]
      const mark = (): void => void at.push(performance.now())
      await push()
      mark()
      await build(docker, repo, { dockerfile, tag: 'floor:now' })
      mark()
      const container = await docker.createContainer({
        Image: 'floor:now',
        Env: ['PORT=8080'],
        HostConfig: { NetworkMode: network.id, Init: true },
      })
      mark()
      await container.start()
      mark()
      const info = await container.inspect()
      const address = Object.values(info.NetworkSettings.Networks)[0]?.IPAddress ?? ''
      await untilUp(address)
      mark()
      await caddy.point(address)
      await untilAnswers(caddy.port, 'floor.localhost', wanted)
      mark()
      await old?.remove({ force: true })
      old = container
      const [push_ = 0, build_ = 0, create = 0, start = 0, answer = 0, switch_ = 0] = at
        .slice(1)
        .map((t, i) => t - (at[i] ?? 0))
      return {
        push: push_,
        build: build_,
        create,
        start,
        answer,
        switch: switch_,
        total: (at.at(-1) ?? 0) - (at[0] ?? 0),
      }
    },
    remove: async () => {
      await old?.remove({ force: true })
      await network.remove()
      await docker
        .getImage('floor:now')
        .remove({ force: true })
        .catch(() => undefined)
      caddy.stop()
      ssh.close()
    },
  }
}

async function untilUp(address: string): Promise<void> {
  for (;;) {
    const up = await new Promise<boolean>((done) => {
      const sent = request({ host: address, port: 8080, agent: false }, (res) => {
        res.resume()
        done(true)
      })
      sent.on('error', () => done(false)).end()
    })
    if (up) return
    await sleep(5)
  }
}

/** Build what main is now, by BuildKit through the engine's API. */
async function build(
  docker: Docker,
  repo: string,
  what: { dockerfile: string; tag: string },
): Promise<void> {
  const tar = await run(
    [
      'git',
      '-C',
      repo,
      'archive',
      '--format=tar',
      '--add-virtual-file',
      `Floorfile:${what.dockerfile}`,
      'main',
    ],
    { maxBytes: 64 * 1024 * 1024 },
  ).catch(async () => {
    throw new Error('git 2.38 or newer is needed for --add-virtual-file')
  })
  const stream = await docker.buildImage(
    tar.stdout as unknown as NodeJS.ReadableStream,
    { t: what.tag, dockerfile: 'Floorfile', version: '2' } as object,
  )
  await new Promise<void>((done, fail) => {
    docker.modem.followProgress(stream, (error, output: { error?: string }[]) => {
      const bad = output?.find((line) => line.error)
      if (error || bad) fail(error ?? new Error(bad?.error))
      else done()
    })
  })
}

/** A Caddy that proxies one host, changed by a reload. */
async function startCaddy(
  dir: string,
): Promise<{ port: number; point(address: string): Promise<void>; stop(): void }> {
  const port = await freePort()
  const admin = await freePort()
  const config = (address: string): string =>
    JSON.stringify({
      admin: { listen: `127.0.0.1:${admin}`, config: { persist: false } },
      apps: {
        http: {
          servers: {
            main: {
              listen: [`127.0.0.1:${port}`],
              automatic_https: { disable: true },
              routes: [
                {
                  match: [{ host: ['floor.localhost'] }],
                  handle: [{ handler: 'reverse_proxy', upstreams: [{ dial: `${address}:8080` }] }],
                },
              ],
            },
          },
        },
      },
    })
  const child = spawn(CADDY, ['run', '--config', '-'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { HOME: dir },
  })
  child.stdin.end(config('127.0.0.1'))
  for (let tries = 0; tries < 100; tries++) {
    if (await ask(admin, `127.0.0.1:${admin}`, '/config/').catch(() => undefined)) break
    await sleep(50)
  }
  return {
    port,
    point: async (address) => {
      const { status, body } = await ask(admin, `127.0.0.1:${admin}`, '/load', {
        method: 'POST',
        body: config(address),
        headers: { 'content-type': 'application/json' },
      })
      if (status !== 200) throw new Error(body)
    },
    stop: () => child.kill('SIGKILL'),
  }
}

/** SSH that lets anybody of this machine push to one repository, and nothing else. */
async function bareSsh(repo: string): Promise<{ port: number; close(): void }> {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  const server = new ssh2.Server(
    {
      hostKeys: [privateKey],
      algorithms: { cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr'] },
    },
    (client) => {
      client.on('error', () => undefined)
      client.on('authentication', (context) => context.accept())
      client.on('session', (accept) => {
        accept().on('exec', (acceptExec) => {
          const channel = acceptExec()
          const git = spawn('git', ['receive-pack', repo], { stdio: 'pipe' })
          channel.pipe(git.stdin)
          git.stdout.pipe(channel, { end: false })
          git.stderr.pipe(channel.stderr, { end: false })
          git.on('close', (code) => {
            channel.exit(code ?? 1)
            channel.end()
          })
        })
      })
    },
  )
  const tcp = createTcp({ noDelay: true }, (socket) => server.injectSocket(socket))
  await new Promise<void>((done) => tcp.listen(0, '127.0.0.1', done))
  return { port: (tcp.address() as AddressInfo).port, close: () => tcp.close() }
}
