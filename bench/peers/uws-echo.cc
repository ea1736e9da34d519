/*
 * uws-echo echo|broadcast [--deflate] [--tls DIR]: uWebSockets as its examples EchoServer and Broadcast use it. Every
 * message comes back, or goes to every other connection. It prints its address and serves one loop until it is killed.
 *
 * bench/servers.py builds it when UWS_DIR names a tree of uWebSockets in which uSockets is built.
 */
#include "App.h"
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/resource.h>

struct nothing {
};

enum { MAX_MESSAGE = 100 << 20 }; // as its EchoServer

template <typename App> static void serve(App app, bool broadcasts, bool deflates)
{
    typename App::template WebSocketBehavior<nothing> behavior;
    behavior.compression = deflates ? uWS::SHARED_COMPRESSOR : uWS::DISABLED;
    behavior.maxPayloadLength = MAX_MESSAGE;
    behavior.maxBackpressure = MAX_MESSAGE;
    behavior.idleTimeout = 0;
    behavior.sendPingsAutomatically = false;
    if (broadcasts) {
        behavior.open = [](auto *ws) { ws->subscribe("all"); };
        behavior.message = [deflates](auto *ws, std::string_view message, uWS::OpCode opcode) {
            ws->publish("all", message, opcode, deflates);
        };
    } else {
        behavior.message = [deflates](auto *ws, std::string_view message, uWS::OpCode opcode) {
            ws->send(message, opcode, deflates);
        };
    }
    app.template ws<nothing>("/*", std::move(behavior));
    app.listen("127.0.0.1", 0, LIBUS_LISTEN_EXCLUSIVE_PORT, [](us_listen_socket_t *listener) {
        if (listener) {
            printf("ready ws://127.0.0.1:%d\n", us_socket_local_port(0, reinterpret_cast<us_socket_t *>(listener)));
            fflush(stdout);
        }
    });
    app.run();
}

int main(int argc, char **argv)
{
    bool broadcasts = argc > 1 && strcmp(argv[1], "broadcast") == 0, deflates = false;
    std::string folder;
    for (int i = 2; i < argc; i++) {
        deflates |= strcmp(argv[i], "--deflate") == 0;
        if (strcmp(argv[i], "--tls") == 0 && i + 1 < argc)
            folder = argv[++i];
    }
    rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (folder.empty()) {
        serve(uWS::App(), broadcasts, deflates);
        return 1;
    }
    std::string key = folder + "/key.pem", certificate = folder + "/cert.pem";
    uWS::SocketContextOptions tls;
    tls.key_file_name = key.c_str();
    tls.cert_file_name = certificate.c_str();
    tls.ssl_prefer_low_memory_usage = true;
    serve(uWS::SSLApp(tls), broadcasts, deflates);
    return 1;
}
