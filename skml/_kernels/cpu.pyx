"""What the processor can do, and a check that OpenMP runs."""

cdef extern from *:
    """
    static const char *skml_cpu_level(void) {
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
        __builtin_cpu_init();
        #if !defined(__clang__) && __GNUC__ >= 12
        if (__builtin_cpu_supports("x86-64-v4")) return "v4";
        if (__builtin_cpu_supports("x86-64-v3")) return "v3";
        if (__builtin_cpu_supports("x86-64-v2")) return "v2";
        #else
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl")) return "v4";
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) return "v3";
        if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt")) return "v2";
        #endif
        return "none";
    #endif
        return "base";
    }
    """
    const char *skml_cpu_level() noexcept nogil


def level():
    """Return the highest level among 'v4', 'v3', 'v2' that this processor runs.

    'none' is an older x86 processor, 'base' one of another kind.
    """
    return skml_cpu_level().decode()
