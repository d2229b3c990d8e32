// TrafficPolicy: what happens to traffic that is allowed: whether an attempt is repeated, how much of anything may
// run at once, how often a caller may call, which endpoint is next, how long something may take. Settings are plain
// data; states are values or words of atomic memory; `now` and randomness are arguments. It knows neither HTTP nor a
// configuration format, opens nothing, logs nothing and arms no timer: it is asked, and it answers.
//
// Times are nanoseconds in `Int64`, and 0 stands for "none" in settings where that has a meaning: `Duration` counts
// in 128 bits, which the path of a request does not afford.

/// Nanoseconds in longer units.
public enum Nanoseconds {
    public static let perMicrosecond: Int64 = 1_000
    public static let perMillisecond: Int64 = 1_000_000
    public static let perSecond: Int64 = 1_000_000_000
}
