// The fan-out server on uWebSockets: what comes in on /in is published to all who are connected to /out.
// Usage: server PORT

#include "App.h"

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

struct Nothing {};

// As much as the others may hold for a subscriber that reads slowly.
constexpr unsigned int MAX_BACKPRESSURE_BYTES = 1024 * 1024;
constexpr unsigned int MAX_PAYLOAD_BYTES = 1024 * 1024;
constexpr const char *TOPIC = "bench";

int main(int argc, char **argv) {
    int port = argc > 1 ? std::atoi(argv[1]) : 0;
    uWS::App app;
    // While the handler of a message runs, the one buffer that gathers messages for a write is in use: what is published
    // there goes out with a system call for each message. Published after it, up to 32 share one, at a tenth of the cost.
    std::vector<std::string> received;
    auto publish = [&app, &received] {
        for (const std::string &message : received) {
            app.publish(TOPIC, message, uWS::OpCode::TEXT);
        }
        received.clear();
    };
    app.ws<Nothing>("/in", {
        .maxPayloadLength = MAX_PAYLOAD_BYTES,
        .message = [&received, publish](auto *, std::string_view message, uWS::OpCode) {
            if (received.empty()) {
                uWS::Loop::get()->defer(publish);
            }
            received.emplace_back(message);
        },
    });
    app.ws<Nothing>("/out", {
        .maxBackpressure = MAX_BACKPRESSURE_BYTES,
        .open = [](auto *ws) { ws->subscribe(TOPIC); },
    });
    app.listen("127.0.0.1", port, [port](auto *listening) {
        if (!listening) {
            std::cerr << "cannot listen on port " << port << std::endl;
            std::exit(1);
        }
    });
    app.run();
}
