// exp, sigmoid and tanh of one instruction set: what holds at the ends and between, and how far from libm.
#include "../../native/math.h"

#include <cmath>
#include <limits>
#include <vector>

#include "target.h"

namespace {

using namespace gated::GATED_TARGET;

template <class T>
T one(Vec<T> (*f)(Vec<T>), T x) {
    const Vec<T> y = f(splat<T>(x));
    for (int j = 1; j < lanes<T>; ++j)
        EXPECT(std::memcmp(&y, reinterpret_cast<const char*>(&y) + j * sizeof(T), sizeof(T)) == 0,
               "lane %d at %g", j, double(x));
    return y[0];
}

template <class T>
T last_place(double of) {
    const T v = T(std::fabs(of));
    return std::nextafter(v, std::numeric_limits<T>::infinity()) - v;
}

template <class T>
void ends() {
    constexpr T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN(),
                small = std::numeric_limits<T>::denorm_min();
    const bool wide = sizeof(T) == 8;
    for (T x : {T(0), T(-0.), small, -small}) {
        EXPECT(one<T>(sigmoid<T>, x) == T(.5), "got %g at %g, %d", double(one<T>(sigmoid<T>, x)), double(x),
               wide);
        const T y = one<T>(tanh<T>, x);
        EXPECT(y == x && std::signbit(y) == std::signbit(x), "got %g at %g, %d", double(y), double(x), wide);
    }
    EXPECT(one<T>(exp_negative<T>, T(0)) == 1 && one<T>(exp_negative<T>, T(-0.)) == 1, "width %d", wide);
    EXPECT(one<T>(exp_negative<T>, -inf) == 0 && one<T>(sigmoid<T>, -inf) == 0, "width %d", wide);
    EXPECT(one<T>(sigmoid<T>, inf) == 1, "width %d", wide);
    EXPECT(one<T>(tanh<T>, inf) == 1 && one<T>(tanh<T>, -inf) == -1, "width %d", wide);
    EXPECT(std::isnan(one<T>(exp_negative<T>, nan)), "width %d", wide);
    EXPECT(std::isnan(one<T>(sigmoid<T>, nan)) && std::isnan(one<T>(sigmoid<T>, -nan)), "width %d", wide);
    EXPECT(std::isnan(one<T>(tanh<T>, nan)) && std::isnan(one<T>(tanh<T>, -nan)), "width %d", wide);
    EXPECT(std::isnan(one<T>(relu<T>, nan)), "width %d", wide);
    EXPECT(one<T>(relu<T>, T(-3)) == 0 && one<T>(relu<T>, inf) == inf, "width %d", wide);
}

template <class T>
void between(double places) {
    double worst[3] = {0, 0, 0};
    for (double x = -120; x <= 120; x += sizeof(T) == 4 ? .0007 : .0011) {
        const T v = T(x);
        const double wide = v;
        const double got[3] = {double(one<T>(exp_negative<T>, v < 0 ? v : -v)), double(one<T>(sigmoid<T>, v)),
                               double(one<T>(tanh<T>, v))};
        const double e = std::exp(-std::fabs(wide));
        const double wanted[3] = {e, wide < 0 ? e / (1 + e) : 1 / (1 + e), std::tanh(wide)};
        for (int k = 0; k < 3; ++k)
            worst[k] = std::fmax(worst[k], std::fabs(got[k] - wanted[k]) / double(last_place<T>(wanted[k])));
        EXPECT(got[1] >= 0 && got[1] <= 1 && std::fabs(got[2]) <= 1, "%g and %g at %g", got[1], got[2], x);
        EXPECT(one<T>(tanh<T>, -v) == -T(got[2]), "odd at %g", x);
    }
    for (int k = 0; k < 3; ++k)
        EXPECT(worst[k] <= places, "%g units in the last place, %d: got %g", places, k, worst[k]);
}

}  // namespace

void target::math() {
    ends<float>();
    ends<double>();
    between<float>(2.6);
    between<double>(4);
}
