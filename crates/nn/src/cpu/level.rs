//! Which vector instructions this machine has, asked once.

use std::sync::LazyLock;

/// Vector instruction sets the kernels are written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// AVX-512 F: 16 lanes.
    Avx512,
    /// AVX2 and FMA: 8 lanes.
    Avx2,
    /// NEON, which every 64-bit ARM has: 4 lanes.
    Neon,
    /// What the compiler makes of plain code: SSE2 on x86-64, 4 lanes.
    Plain,
}

/// The best level this machine runs. `FOLDRY_SIMD=avx2|plain` lowers it, for tests and comparisons.
pub fn level() -> Level {
    static LEVEL: LazyLock<Level> = LazyLock::new(|| {
        let best = detect();
        match (std::env::var("FOLDRY_SIMD").as_deref(), best) {
            (Ok("plain"), _) => Level::Plain,
            (Ok("avx2"), Level::Avx512) => Level::Avx2,
            _ => best,
        }
    });
    *LEVEL
}

/// Whether the machine has instructions for products of bf16 (AVX-512 BF16), and [`level`] was not lowered.
pub fn has_bf16() -> bool {
    static HAS: LazyLock<bool> = LazyLock::new(|| level() == Level::Avx512 && detect_bf16());
    *HAS
}

#[cfg(target_arch = "x86_64")]
fn detect_bf16() -> bool {
    is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw")
}

#[cfg(not(target_arch = "x86_64"))]
fn detect_bf16() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("fma")
    {
        Level::Avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Level::Avx2
    } else {
        Level::Plain
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    if cfg!(target_arch = "aarch64") { Level::Neon } else { Level::Plain }
}

/// Compiles one body for every level and calls the right one. In the body the two
/// bracketed names are a·b + c (fused where the level has it) and e^x.
macro_rules! dispatch {
    ($(#[$meta:meta])* pub fn $name:ident[$fma:ident, $exp:ident]($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        pub fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? {
                #[allow(unused)] // not every body multiplies and adds
                let $fma = |a: f32, b: f32, c: f32| if FMA { a.mul_add(b, c) } else { a * b + c };
                #[allow(unused)] // not every body takes exponentials
                let $exp = |x: f32| $crate::cpu::rows::exp_lane::<FMA>(x);
                $body
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body::<true>($($arg),*)
            }
            match $crate::cpu::level() {
                // SAFETY: `level` saw these instruction sets on this machine.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => body::<{ cfg!(target_arch = "aarch64") }>($($arg),*),
            }
        }
    };
}
pub(crate) use dispatch;
