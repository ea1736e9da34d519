/** What one can say in Socket.IO, well and badly, each to be said on a connection that has joined the main namespace. */
export const ONE = Buffer.from([1, 2, 3]);
const TWO = Buffer.from([4, 5]);

export const place = (num) => `{"_placeholder":true,"num":${num}}`;

const RESERVED = [
    'connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener', 'error', 'connection',
    'reconnect', 'ping',
];

/** Each is a list of packets to send after CONNECT. */
export const SENT = [
    ...['4', '4abc', '47', '48["message"]', '49', '4-1', '4 2["message"]', '4€'].map((packet) => [packet]),
    ...[
        '42', '42{}', '42[]', '42""', '42null', '42true', '42[null]', '42[true]', '42[{}]', '42[[]]', '42[1]',
        '42[1.5,"a"]', '42[""]', '42[-0]',
    ].map((packet) => [packet]),
    ...[
        '42["message"', '42["message"]]', '42["message"] ', '42 ["message"]', '42\n["message"]', '42["message"]\n',
        '42[ "message" , 1 ]', '42["message",]',
    ].map((packet) => [packet]),
    ...[
        '42["message",01]', '42["message",.5]', '42["message",1.]', '42["message",+1]', '42["message",1e]',
        '42["message",- 1]', '42["message",0x10]',
    ].map((packet) => [packet]),
    ...['42["message",1e400,1E5,-0,1.0,1e20,123456789012345678901234567890]'].map((packet) => [packet]),
    ...[
        '42["message","\t"]', '42["message","\x7f\u2028"]', '42["message","\\u0000\\ud800\\/"]',
        '42["message","\\uD83D\\uDE00"]', '42["message","\\u00"]', '42["message","\\x41"]', '42["message","\\\'"]',
    ].map((packet) => [packet]),
    ...[
        '42["message",True]', '42["message",undefined]', '42["message",nul]', '42["message",Infinity]',
        '42["message"/**/]', "42['message']", '42[message]', '\ufeff42["message"]', '42\ufeff["message"]',
    ].map((packet) => [packet]),
    ...[
        '42["message",{"a":1,"a":2}]', '42["message",{"":""}]', '42["message",{a:1}]', '42["message",{"a"}]',
        '42["message",{"a":}]', '42["message",{"a":1,}]', '42["message",{1:1}]',
    ].map((packet) => [packet]),
    ...[
        '42["toString"]', '42["__proto__"]', '42["hasOwnProperty",1]', '42["message-back",1]',
    ].map((packet) => [packet]),
    ...RESERVED.flatMap((name) => [[`42["${name}"]`], [`427["${name}",1]`], [`451-["${name}",${place(0)}]`, ONE]]),
    ...[
        '421["message-with-ack",1]', '42["message-with-ack",1]', '420["message-with-ack",1]',
        '4200001["message-with-ack",1]', '429007199254740991["message-with-ack",1]', '42-1["message-with-ack",1]',
        '421.5["message-with-ack",1]', '421e2["message-with-ack",1]', '42abc["message-with-ack"]',
        '42/,1["message-with-ack",1]',
    ].map((packet) => [packet]),
    ...[
        '43', '43[]', '431', '431[]', '431{}', '431""', '431[1,2]', '43["a"]', '4399999999999999999999[]', '431[',
        '43a[]',
    ].map((packet) => [packet]),
    ...['44', '44{}', '44""', '44{"message":"no"}', '44/custom,{}', '44[1]'].map((packet) => [packet]),
    ...[
        '40', '40{}', '40/,', '40/,{}', '401', '40nope', '40[]', '40""', '40null', '40/custom,[]', '40/custom,"a"',
        '40/custom,{', '40/custom,{}x',
    ].map((packet) => [packet]),
    ...[
        '40/nope', '40/nope,', '40/nope,{}', '40/custom?a=b,', '40/CUSTOM,', '40/custom/,', '40//,', '40/ ,',
        '40/__proto__,', '40/пойду,{"a":1}', `40/${'x'.repeat(300)},`,
    ].map((packet) => [packet]),
    ...[
        '41/custom,', '41/custom', '41{}', '41[]', '41"x"', '42/custom,["message"]', '42/nope,["message"]',
        '42/custom["message"]', '42/', '42/,', '42/,["message",1]', '42/["message"]',
    ].map((packet) => [packet]),
    ...[
        '45', '45-', '46', '46-', '45["message"]', '451["message"]', '45-["message"]', '450-["message"]',
        '4500-["message"]', '45-1-["message"]', '451.5-["message"]', '4511-["message"]',
        '4599999999999999999999-["message"]', '45a-["message"]', '451-', '451-{}', '451-[]', '451-[null]', '450-[]',
        '461-[]', '460-[]', '461-{}',
    ].map((packet) => [packet]),
    [`451-["message",${place(0)}]`, ONE],
    [`4501-["message",${place(0)}]`, ONE],
    [`452-["message",${place(0)},${place(1)}]`, ONE, TWO],
    [`452-["message",${place(1)},${place(0)}]`, ONE, TWO],
    [`452-["message",${place(0)}]`, ONE, TWO],
    [`451-["message",${place(0)},${place(0)}]`, ONE],
    [`451-["message",${place(1)}]`, ONE],
    [`451-["message",${place(-1)}]`, ONE],
    [`451-["message",${place('"0"')}]`, ONE],
    [`451-["message",${place('null')}]`, ONE],
    [`451-["message",{"_placeholder":true}]`, ONE],
    [`451-["message",{"_placeholder":false,"num":0}]`, ONE],
    [`451-["message",{"_placeholder":1,"num":0}]`, ONE],
    [`451-["message",{"num":0,"_placeholder":true,"more":1}]`, ONE],
    [`451-["message",{"a":[{"b":${place(0)}}]}]`, ONE],
    [`451-["message"]`, ONE],
    [`451-[${place(0)},1]`, ONE],
    [`451-7["message-with-ack",${place(0)}]`, ONE],
    [`451-/,["message",${place(0)}]`, ONE],
    [`451-/custom,["message",${place(0)}]`, ONE],
    [`461-7[${place(0)}]`, ONE],
    [`461-[${place(0)}]`, ONE],
    [`42["message",${place(0)}]`],
    [`427["message-with-ack",${place(0)}]`],
    [`451-["message",${place(0)}]`, '42["message",1]'],
    [`451-["message",${place(0)}]`, '41'],
    [ONE],
    [`451-["message",${place(0)}]`, Buffer.alloc(0)],
    [`4510-["message",${place(0)}]`, ...Array.from({ length: 10 }, (_, i) => Buffer.from([i]))],
];
