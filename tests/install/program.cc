// The same in C++: answers one request on a port that the kernel picks, and stops itself.
#include <iostream>
#include <memory>
#include <string>
#include <weft.h>

struct weft_deleter {
    void operator()(weft *app) const
    {
        weft_free(app);
    }
};

static void stop(weft *app, void *)
{
    weft_stop(app);
}

int main()
{
    const std::unique_ptr<weft, weft_deleter> app(weft_new(nullptr));

    auto answer = [](weft_exchange exchange, const weft_request *, void *user) {
        const std::string body = "hello";
        weft_answer(exchange, 200, "text/plain", body.data(), body.size());
        weft_post(static_cast<weft *>(user), stop, nullptr);
    };
    weft_get(app.get(), "/", answer, app.get());

    weft_websocket_options chat{};
    chat.message = [](weft_peer peer, const weft_message *message) {
        weft_publish(weft_of(peer), "room", message, nullptr);
    };
    weft_websocket(app.get(), "/chat", &chat);

    weft_listen(app.get(), "http://127.0.0.1:0", nullptr);
    weft_after(app.get(), 10000, stop, nullptr); // nobody came
    if (weft_error(app.get()) == nullptr)
        std::cout << weft_listening(app.get(), 0) << std::endl;

    const int error = weft_run(app.get());
    if (error != 0)
        std::cerr << weft_strerror(error) << '\n';
    return error != 0;
}
