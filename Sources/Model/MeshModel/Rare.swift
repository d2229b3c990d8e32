/// A large value that most of its owners lack: in one place of its own, which copies share, and no room without it.
@propertyWrapper public struct Rare<Value: Sendable & Equatable>: Sendable, Equatable {
    private final class Box: Sendable {
        let value: Value

        init(_ value: Value) { self.value = value }
    }

    private var box: Box?

    public init(wrappedValue: Value?) { box = wrappedValue.map { Box($0) } }

    public var wrappedValue: Value? {
        get { box?.value }
        set { box = newValue.map { Box($0) } }
    }

    /// Without looking at the value.
    public var isNone: Bool { box == nil }

    /// To be given to other owners of an equal value.
    public var projectedValue: Self {
        get { self }
        set { self = newValue }
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.box === right.box || left.box?.value == right.box?.value
    }
}
