import { createServer } from 'node:http'

const VERSION = 'v1'

const server = createServer((_, response) => {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`Hello from hello-dockerfile ${VERSION}\n`)
})
server.listen(Number(process.env.PORT ?? 8080))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
