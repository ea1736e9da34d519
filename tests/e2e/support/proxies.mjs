/**
 * nginx and HAProxy as people put them in front of Weft. They listen on a socket in a folder of their own, which needs no port and is gone
 * with them; behind them are the servers of the test, over TCP.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { installed } from './debian.mjs';
import { Program, becomesTrue } from './program.mjs';

function accepts(socketPath) {
    return new Promise((resolve) => {
        const socket = net.connect(socketPath, () => {
            socket.destroy();
            resolve(true);
        });
        socket.on('error', () => resolve(false));
    });
}

class Proxy {
    constructor(command, makeArguments, makeConfiguration) {
        const executable = installed(command);
        this.folder = mkdtempSync(path.join(tmpdir(), `weft-${command}-`));
        this.socketPath = path.join(this.folder, 'front');
        const file = path.join(this.folder, 'configuration');
        writeFileSync(file, makeConfiguration(this));
        this.program = new Program(executable, makeArguments(this, file));
    }

    async ready() {
        await becomesTrue(() => this.program.how || accepts(this.socketPath));
        if (await accepts(this.socketPath)) return this;
        const complaint = this.program.sentence('does not listen');
        await this.stop();
        throw new Error(complaint);
    }

    async stop() {
        this.program.child.kill('SIGTERM');
        await this.program.end();
        rmSync(this.folder, { recursive: true, force: true });
    }
}

function temporaryPaths(folder) {
    return ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
}

/** `/1.0/` and `/1.1/` say which HTTP it speaks to Weft, `/unbuffered/` passes bodies on while they come, `/ws` is for WebSocket. */
function nginxConfiguration({ folder, socketPath }, http, ws) {
    return `
        daemon off;
        master_process off;
        pid ${folder}/pid;
        error_log stderr warn;
        events { worker_connections 1024; }
        http {
            access_log off;
            client_max_body_size 16m;
            ${temporaryPaths(folder)}
            upstream weft { server 127.0.0.1:${http.port}; keepalive 8; }
            server {
                listen unix:${socketPath};
                proxy_set_header Host localhost;
                add_header X-Upstream-Connection "$upstream_http_connection" always;
                location /1.0/ { proxy_pass http://weft; proxy_http_version 1.0; }
                location /1.1/ { proxy_pass http://weft; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost; }
                location /unbuffered/ {
                    proxy_pass http://weft;
                    proxy_http_version 1.1;
                    proxy_request_buffering off;
                    proxy_buffering off;
                    proxy_set_header Connection "";
                    proxy_set_header Host localhost;
                }
                location /ws {
                    proxy_pass http://127.0.0.1:${ws.port};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                    proxy_set_header Host $http_host;
                }
            }
        }`;
}

const runNginx = (makeConfiguration) => new Proxy('nginx', ({ folder }, file) => ['-p', folder, '-e', 'stderr', '-c', file], makeConfiguration).ready();

export const startNginx = (http, ws) => runNginx((proxy) => nginxConfiguration(proxy, http, ws));

function haproxyConfiguration({ socketPath }, http, ws) {
    return `
        global
            maxconn 2000
        defaults
            mode http
            timeout connect 5s
            timeout client 30s
            timeout server 30s
            timeout tunnel 30s
            http-reuse always
        frontend front
            bind unix@${socketPath}
            use_backend sockets if { path_beg /ws }
            default_backend web
        backend web
            server weft 127.0.0.1:${http.port}
        backend sockets
            server weft 127.0.0.1:${ws.port}
`;
}

const runHaproxy = (makeConfiguration) => new Proxy('haproxy', (_, file) => ['-db', '-f', file], makeConfiguration).ready();

export const startHaproxy = (http, ws) => runHaproxy((proxy) => haproxyConfiguration(proxy, http, ws));

/* ------------------------------------------------------------------------------------------------------- as people write it */

/** nginx with these lines in `http`, in which `listen 80;` is our socket. */
export function startNginxWith(lines) {
    return runNginx(({ folder, socketPath }) => `
        daemon off;
        master_process off;
        pid ${folder}/pid;
        error_log stderr warn;
        events { worker_connections 1024; }
        http {
            access_log off;
            ${temporaryPaths(folder)}
            ${lines.replace('listen 80;', `listen unix:${socketPath};`)}
        }`);
}

/** HAProxy with this configuration, in which `bind :80` is our socket. */
export const startHaproxyWith = (lines) => runHaproxy(({ socketPath }) => lines.replace('bind :80', `bind unix@${socketPath}`));
