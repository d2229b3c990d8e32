import CLinux

/// Memory that was freed.
public enum SpareMemory {
    /// Gives back to the system what was freed and lies scattered among what is kept, as after a start: a configuration is
    /// read into many times its size of messages. Takes milliseconds with thousands of clusters, in which no other
    /// thread gets memory: not to be done under load.
    public static func giveBack() { _ = malloc_trim(0) }
}
