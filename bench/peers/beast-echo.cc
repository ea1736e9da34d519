/*
 * beast-echo echo|broadcast: Boost.Beast on Boost.Asio, asynchronous, one thread. Every message comes back, or goes to
 * every other connection. It prints its address and serves until it is killed.
 *
 * As its authors advise for speed: an io_context that knows of its one thread, sockets that name their executor instead
 * of erasing its type, a flat buffer that is kept from message to message, whole messages written without fragments.
 */
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <unordered_set>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<tcp, executor>;
using boost::system::error_code;

class session;
static bool broadcasts;
static std::unordered_set<session *> sessions; // those that are open, of a broadcast

using shared_message = std::shared_ptr<const std::string>;

class session : public std::enable_shared_from_this<session>
{
    websocket::stream<tcp_socket, false> ws; // without permessage-deflate
    beast::flat_buffer buffer;
    std::deque<shared_message> waiting; // its first is being written

  public:
    explicit session(tcp_socket socket) : ws(std::move(socket))
    {
        ws.auto_fragment(false);
        ws.read_message_max(64 << 20);
    }

    ~session()
    {
        sessions.erase(this);
    }

    void open()
    {
        ws.async_accept([self = shared_from_this()](error_code error) {
            if (error)
                return;
            if (broadcasts)
                sessions.insert(self.get());
            self->read();
        });
    }

  private:
    void read()
    {
        ws.async_read(buffer, [self = shared_from_this()](error_code error, size_t) {
            if (error)
                return sessions.erase(self.get()), void();
            broadcasts ? self->relay() : self->echo();
        });
    }

    void echo()
    {
        ws.text(ws.got_text());
        ws.async_write(buffer.data(), [self = shared_from_this()](error_code error, size_t) {
            if (error)
                return;
            self->buffer.consume(self->buffer.size());
            self->read();
        });
    }

    void relay()
    {
        auto message = std::make_shared<const std::string>(beast::buffers_to_string(buffer.data()));
        buffer.consume(buffer.size());
        for (session *other : sessions)
            if (other != this)
                other->send(message, ws.got_text());
        read();
    }

    void send(const shared_message &message, bool text)
    {
        ws.text(text);
        waiting.push_back(message);
        if (waiting.size() == 1)
            write();
    }

    void write()
    {
        ws.async_write(asio::buffer(*waiting.front()), [self = shared_from_this()](error_code error, size_t) {
            if (error)
                return sessions.erase(self.get()), void();
            self->waiting.pop_front();
            if (!self->waiting.empty())
                self->write();
        });
    }
};

using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;

static void accept(tcp_acceptor &acceptor)
{
    acceptor.async_accept([&acceptor](error_code error, tcp_socket socket) {
        if (!error) {
            error_code ignored;
            socket.set_option(tcp::no_delay(true), ignored);
            std::make_shared<session>(std::move(socket))->open();
        }
        accept(acceptor);
    });
}

int main(int argc, char **argv)
{
    broadcasts = argc > 1 && strcmp(argv[1], "broadcast") == 0;
    rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    tcp_acceptor acceptor(context.get_executor());
    acceptor.open(tcp::v4());
    acceptor.set_option(tcp_acceptor::reuse_address(true));
    acceptor.bind({asio::ip::address_v4::loopback(), 0});
    acceptor.listen(4096);
    accept(acceptor);
    printf("ready ws://127.0.0.1:%d\n", acceptor.local_endpoint().port());
    fflush(stdout);
    context.run();
    return 1;
}
