/// Where this target's messages go: the owner's log. Messages never hold keys, tokens or other secrets.
public typealias LogSink = (LogImportance, String) -> Void

/// How urgently somebody should read a message.
public enum LogImportance: Sendable, Comparable {
    case debug, info, warning, error
}
