// A layer that takes one step after another: weights packed once, states kept in place, no allocation.
#pragma once

#include "drive.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
class LayerStream final : public Stream {
   public:
    // `call` has sizes (T apart), weights and states; finals are the states themselves.
    LayerStream(const Plan& given, const Call& from) : plan(given), call(from), drive{plan, call} {
        call.threads = 1;
        drive.partition(false);
        if (call.B < 4) drive.cut.ahead = 16;
        size_t size = 0;
        drive.make_parts(Arena{nullptr}, nullptr, &size);
        memory = Scratch::own(size);
        part = drive.make_parts(Arena{memory}, nullptr, &size);
        drive.pack(*part, 0, 1);
    }
    ~LayerStream() override { Scratch::free(memory); }
    LayerStream(const LayerStream&) = delete;

    void run(const void* x, int64_t steps, int64_t xt, int64_t xb, void* y) override {
        call.x = x, call.T = steps, call.xt = xt, call.xb = xb, call.y = y;
        part->forward();
    }

   private:
    const Plan plan;
    Call call;
    Drive<T> drive;
    char* memory = nullptr;
    Part<T>* part = nullptr;
};

template <class T>
Stream* stream(const Plan& plan, const Call& call) {
    return new LayerStream<T>(plan, call);
}

}  // namespace GATED_TARGET
}  // namespace gated
