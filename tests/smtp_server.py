"""A mail server for tests: prints its port, then writes each mail it accepts as one line of JSON to --out."""

import argparse
import asyncio
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, default=0)
arguments.add_argument("--tls", choices=["starttls", "implicit", "none"], default="starttls")
arguments.add_argument("--cert")
arguments.add_argument("--key")
arguments.add_argument("--user", help="with --password: a login is required")
arguments.add_argument("--password")
arguments.add_argument("--out", required=True)
arguments.add_argument("--reply", help="the answer to every mail instead of 250, such as '550 no'")
arguments.add_argument("--refuse", action="append", default=[], help="a recipient that gets a 550")
arguments.add_argument("--hang", action="store_true", help="never answer a mail")
arguments.add_argument("--die", action="store_true", help="cut the connection instead of answering a mail")
options = arguments.parse_args()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in options.refuse:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if options.hang:
            await asyncio.Event().wait()
        if options.die:
            server.transport.abort()
            return "250 never seen"
        if options.reply:
            return options.reply
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("utf-8"),
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.authenticated is True,
        }
        with open(options.out, "a", encoding="utf-8") as out:
            out.write(json.dumps(mail) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (options.user.encode(), options.password.encode())
    return AuthResult(success=good, handled=False)


async def serve():
    tls = None
    if options.tls != "none":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert, options.key)
    starttls = options.tls == "starttls"

    def session():
        return SMTP(
            Handler(),
            tls_context=tls if starttls else None,
            require_starttls=starttls,
            authenticator=authenticate if options.user else None,
            auth_required=options.user is not None,
            auth_require_tls=starttls,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", options.port, ssl=tls if options.tls == "implicit" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
