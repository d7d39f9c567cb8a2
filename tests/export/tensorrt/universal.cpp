// Stands in for libnvinfer and its parser, so that the real Python bindings of any version can be loaded and called.
//
// Every function that hands out an object hands out the same one. Every virtual function of it returns its address,
// which is chosen so that it is a fitting answer to any question: as an object it is the object, as an `int` it is 1
// (the low 32 bits), as a `bool` it is true (the low 8), and as a `const char*` it is "pixels", since the first bytes
// of an object are the address of its table of functions, and that is chosen to read so. A function that returns a
// large struct is asked for dimensions only, and answers [universal_batch, 3, 128, 64].
//
// So the bindings check the name, the number and the types of all arguments; nothing is built.
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <typeinfo>

extern "C" int64_t universal_batch = -1;  // dimension 0 of everything

namespace {
constexpr uintptr_t kObject = 0x100000001, kTable = 0x736c65786970;  // "pixels" in little endian
constexpr int kFunctions = 2000;
struct Universal {};

uintptr_t answer(uintptr_t self) {
    if (self == kObject) return kObject;
    const int64_t sizes[] = {universal_batch, 3, 128, 64};
    auto* count = reinterpret_cast<int32_t*>(self);
    *count = 4;
    for (int i = 0; i < 4; ++i) {
#if DIMS_BITS == 64
        reinterpret_cast<int64_t*>(self + 8)[i] = sizes[i];
#else
        count[1 + i] = static_cast<int32_t>(sizes[i]);
#endif
    }
    return self;
}

void map(uintptr_t address, size_t size) {
    const uintptr_t page = address & ~uintptr_t{0xfff};
    mmap(reinterpret_cast<void*>(page), size + (address - page), PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);  // fails if another stand-in has mapped it: good
}

void* universal() {
    static bool made = false;
    if (made) return reinterpret_cast<void*>(kObject);
    map(kTable - 16, 16 + 8 * kFunctions);
    map(kObject, 4096);
    auto* table = reinterpret_cast<uintptr_t*>(kTable);
    table[-2] = 0;
    table[-1] = reinterpret_cast<uintptr_t>(&typeid(Universal));
    for (int i = 0; i < kFunctions; ++i) table[i] = reinterpret_cast<uintptr_t>(&answer);
    // Unaligned on purpose; the rest of the object is pointers to itself, whatever members it has.
    memcpy(reinterpret_cast<void*>(kObject), &kTable, 8);
    for (int i = 1; i < 16; ++i) memcpy(reinterpret_cast<void*>(kObject + 8 * i), &kObject, 8);
    made = true;
    return reinterpret_cast<void*>(kObject);
}
}  // namespace

extern "C" {
#define HANDS_OUT(name) void* name() { return universal(); }
FUNCTIONS
}
