import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** What a listening server is made of: an app of Express 4 or 5. */
export type Handler = Parameters<typeof createServer>[1];

/** A server on a free port of this machine, closed when the test ends. */
export async function listen(t: TestContext, handler: Handler): Promise<Listening> {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return { server, port, origin: `http://127.0.0.1:${port}` };
}

/** A server that answers. */
export interface Listening {
  readonly server: Server;
  readonly port: number;
  readonly origin: string;
}

/** An answer as it came over the socket. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Sends bytes as they are, for requests that a client refuses to make. */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  const socket = connect(port, "127.0.0.1");
  // Not ended: the server takes an end for the client's going away.
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  const [head = "", ...rest] = text.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head, body: rest.join("\r\n\r\n") };
}

/** The lines of a request by hand; `Connection: close` is put in, so that the answer has an end. */
export function requestText(
  method: string,
  path: string,
  { headers = [], body = "" }: { headers?: readonly string[]; body?: string } = {},
): string {
  const length = body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = ["Host: 127.0.0.1", "Connection: close", ...headers, ...length];
  return `${method} ${path} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n${body}`;
}
