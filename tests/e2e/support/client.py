"""A client of Debian's python3-websockets, told what to do line by line: client.py URL

Standard input: `text JSON-STRING`, `binary HEX`. Standard output: `open`, then what comes, in the same words, and
`close CODE REASON`. The end of the input closes the connection.
"""
import asyncio
import json
import sys

import websockets


def words(message):
    return f'text {json.dumps(message, ensure_ascii=False)}' if isinstance(message, str) else f'binary {message.hex()}'


def message_of(line):
    kind, _, data = line.strip().partition(' ')
    return json.loads(data) if kind == 'text' else bytes.fromhex(data)


async def receive(ws):
    async for message in ws:
        print(words(message), flush=True)


async def obey(ws):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await ws.send(message_of(line))
    await ws.close()


async def main(url):
    async with websockets.connect(url, compression=None) as ws:
        print('open', flush=True)
        obeying = asyncio.create_task(obey(ws))
        try:
            await receive(ws)
        finally:
            print(f'close {ws.close_code} {ws.close_reason}'.strip(), flush=True)
            obeying.cancel()


sys.stdin.reconfigure(encoding='utf-8')
sys.stdout.reconfigure(encoding='utf-8')
asyncio.run(main(sys.argv[1]))
