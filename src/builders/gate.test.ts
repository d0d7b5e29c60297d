// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles spell variables this way
import { describe, expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { checkDockerfile } from './gate.ts'

type Case = [text: string, line: number, args?: Record<string, string>]

const BAD: Record<string, Case> = {
  empty: ['', 1],
  'only comments': ['# nothing\n\n', 1],
  'no FROM': ['RUN true\n', 1],
  'FROM without an image': ['FROM\n', 1],
  'unknown instruction': ['FROM node:24\nFETCH x\n', 2],
  'unknown trigger': ['FROM node:24\nONBUILD FETCH x\n', 2],
  'over 1 MiB': [`FROM node:24\n#${'x'.repeat(1024 * 1024)}\n`, 1],
  'syntax comment': ['# syntax=docker/dockerfile:1\nFROM node:24\n', 1],
  'syntax after BOM': ['\uFEFF#SYNTAX = evil/frontend\nFROM node:24\n', 1],
  'syntax after escape': ['# escape=`\n# syntax=x/y\nFROM node:24\n', 2],
  'syntax after a shebang': ['#!/bin/x\n# syntax=x/y\nFROM node:24\n', 2],
  'syntax in slashes': ['// syntax=x/y\nFROM node:24\n', 1],
  'frontend by argument': ['FROM node:24\n', 1, { BUILDKIT_SYNTAX: 'x/y' }],
  'insecure run': ['FROM node:24\nRUN --security=insecure id\n', 2],
  'host network': ['FROM node:24\nRUN --network=host id\n', 2],
  'host network quoted': ['FROM node:24\nRUN --net"work"=host id\n', 2],
  'host network escaped': ['FROM node:24\nRUN --\\network=host id\n', 2],
  'host network over lines': ['FROM node:24\nRUN --net\\\nwork=host id\n', 2],
  'host network by argument': ['FROM node:24\nARG N=host\nRUN --network=$N id\n', 3],
  'add https': ['FROM node:24\nADD https://a.example/x /x\n', 2],
  'add HTTP in JSON': ['FROM node:24\nADD ["HTTP://a.example/x", "/x"]\n', 2],
  'add escaped JSON': ['FROM node:24\nADD ["\\u0068ttps:\\u002f/a.example/x", "/x"]\n', 2],
  'add git': ['FROM node:24\nADD git@a.example:x/y.git /x\n', 2],
  'add git scheme': ['FROM node:24\nADD --keep-git-dir=true git://a.example/x /x\n', 2],
  'add by argument': ['FROM node:24\nARG S=https\nADD $S://a.example/x /x\n', 3],
  'add by unknown variable': ['FROM node:24\nADD $WHAT /x\n', 2],
  'add over lines': ['FROM node:24\nADD ht\\\n# note\ntps://a.example/x /x\n', 2],
  'add completed by a variable': ['FROM node:24\nARG X=a\nADD h$X /x\n', 3],
  'mount from by variable': ['FROM a\nARG X=b\nRUN --mount=from=$X,target=/x ls\n', 3],
  'local FROM': ['FROM helios/r-abc\n', 1],
  'local FROM in full': ['FROM docker.io/helios/r-abc:1\n', 1],
  'local FROM quoted': ['FROM "hel"ios/r-abc\n', 1],
  'local FROM by argument': ['ARG B=node:24\nFROM $B\n', 2, { B: 'helios/r-abc' }],
  'local FROM by parts': ['ARG A=hel\nARG B=${A}ios/x\nFROM ${B}\n', 3],
  'local FROM by default': ['ARG A\nFROM ${A:-helios/x}\n', 2],
  'local FROM by an empty variable': ['ARG E=x\nFROM node:24 AS a\nFROM hel${E}ios/x\n', 3],
  'unresolvable FROM': ['FROM $BASE\n', 1],
  'FROM without a value': ['ARG BASE\nFROM $BASE\n', 2],
  'unsupported substitution': ['ARG B=xnode\nFROM ${B#x}\n', 2],
  'endless substitution': ['ARG A=$B\nARG B=$A\nFROM $A\n', 3],
  'explosive substitution': [`ARG A=${'$A'.repeat(99)}\nFROM $A\n`, 2],
  'FROM over lines': ['FR\\\nOM hel\\\nios/x\n', 1],
  'escape character': ['# escape=`\nFROM hel`\nios/x\n', 2],
  'FROM an id': ['FROM sha256:0123456789abcdef\n', 1],
  'FROM a short id': ['FROM 0123456789ab\n', 1],
  'FROM localhost': ['FROM localhost:5000/x\n', 1],
  'FROM loopback': ['FROM 127.0.0.1:5000/x\n', 1],
  'COPY --from': ['FROM node:24\nCOPY --from=helios/r-abc:1 /a /b\n', 2],
  'COPY --from an id': ['FROM node:24\nCOPY --chown=1 --from=sha256:abc /a /b\n', 2],
  'mount from': ['FROM node:24\nRUN --mount=type=bind,from=helios/x,target=/x ls\n', 2],
  'mount from quoted': ['FROM node:24\nRUN --mount=type=bind,"from=helios/x" ls\n', 2],
  'mount with a quoted blank': ['FROM node:24\nRUN --mount="a, from=helios/x" ls\n', 2],
  'mount option by variable': ['FROM node:24\nARG K=from\nRUN --mount=$K=helios/x ls\n', 3],
  'ONBUILD add': ['FROM node:24\nONBUILD ADD https://a.example/x /x\n', 2],
  'ONBUILD host network': ['FROM node:24\nonbuild run --network=host id\n', 2],
  'ONBUILD twice': ['FROM node:24\nONBUILD ONBUILD RUN id\n', 2],
  'hidden by a quoted heredoc': ["FROM node:24\nRUN echo '<<EOF'\nFROM helios/x\n#EOF\n", 3],
  'lone carriage return': ['FROM node:24\nRUN x\rFROM helios/x\n', 2],
}

const GOOD: Record<string, [text: string, args?: Record<string, string>]> = {
  plain: ['FROM node:24\nRUN npm ci\nCMD ["node", "."]\n'],
  'CRLF line ends': ['FROM node:24\r\nRUN a \\\r\n  && b\r\n'],
  'byte order mark': ['\uFEFFFROM node:24\n'],
  'lower case': ['from node:24\nrun id\n'],
  'no last newline': ['FROM scratch'],
  stages: ['FROM node:24 AS build\nFROM build AS next\nCOPY --from=build /a /b\n'],
  'stage by number': ['FROM node:24\nFROM caddy:2\nCOPY --from=0 /a /b\n'],
  'a stage named helios': ['FROM node:24 AS helios\nFROM caddy:2\nCOPY --from=helios /a /b\n'],
  digest: [`FROM node@sha256:${'a'.repeat(64)}\n`],
  'foreign registry': ['FROM registry.example.com:5000/a/b:1\n'],
  'argument with a default': ['ARG V=24\nFROM node:${V}-slim\n'],
  'argument given': ['ARG V\nFROM node:$V\n', { V: '24' }],
  'default replaced': ['ARG B=helios/x\nFROM $B\n', { B: 'node:24' }],
  'default in place': ['ARG V\nFROM node:${V:-24}\n'],
  platform: ['FROM --platform=$BUILDPLATFORM node:24\nARG TARGETARCH\nRUN echo $TARGETARCH\n'],
  'cache mount': ['FROM node:24\nRUN --mount=type=cache,target=/root/.npm npm ci\n'],
  'mounts over lines': ['FROM node:24\nRUN --mount=type=cache,target=/a\\\n --network=none ls\n'],
  'local add': ['FROM node:24\nADD app.tar.gz ./x-$HOME /srv/\n'],
  'add JSON': ['FROM node:24\nADD ["a b", "/srv/"]\n'],
  'an address in RUN': ['FROM node:24\nRUN curl https://a.example/x\n'],
  heredoc: ['FROM node:24\nRUN <<EOF\nset -e\nid\nEOF\nCOPY <<X /x\nhello\nX\n'],
  'python in a heredoc': ['FROM python:3\nRUN python3 <<EOF\nfrom os import path\nEOF\n'],
  'late syntax comment': ['FROM node:24\n# syntax=none\nRUN id\n'],
  'escape directive': ['# escape=`\nFROM node:24\nRUN a `\n  b\n'],
  'ONBUILD run': ['FROM node:24\nONBUILD RUN npm ci\n'],
  'many kinds': [
    'FROM node:24\nENV A=1 B=2\nENV C some words\nLABEL a=b\nUSER node\nWORKDIR /a\nVOLUME /v\nEXPOSE 3000\n' +
      'HEALTHCHECK --interval=5s CMD true\nSHELL ["sh"]\nSTOPSIGNAL SIGTERM\nENTRYPOINT ["a"]\nMAINTAINER me\n',
  ],
}

describe('checkDockerfile', () => {
  test.each(Object.entries(BAD))('rejects: %s', (_, [text, line, args = {}]) => {
    let caught: unknown
    try {
      checkDockerfile(text, args)
    } catch (error) {
      caught = error
    }
    expect(caught).toBeInstanceOf(HeliosError)
    expect(caught).toMatchObject({ code: 'HX34' })
    expect(String(caught)).toContain(`Dockerfile line ${line}: `)
  })

  test.each(Object.entries(GOOD))('accepts: %s', (_, [text, args = {}]) => {
    expect(() => checkDockerfile(text, args)).not.toThrow()
  })

  test('bounds the work on endless continued lines', () => {
    const text = `FROM node:24\n${'RUN \\\n'.repeat(20_000)}`
    expect(() => checkDockerfile(text, {})).toThrow('too many continued lines')
  })
})
