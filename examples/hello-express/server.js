import express from 'express'

const VERSION = 'v1'

const app = express()
app.disable('x-powered-by')
app.get('/', (_, response) => {
  response.type('text/plain').send(`Hello from hello-express ${VERSION}\n`)
})
const server = app.listen(Number(process.env.PORT ?? 8080))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
