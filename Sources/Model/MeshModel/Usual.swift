/// A type with a value that most of those who have one leave as it is.
public protocol HasUsualValue: Sendable, Equatable {
    /// The usual one.
    init()
}

/// A large value that is the usual one for most of its owners: room only where it is another.
@propertyWrapper public struct Usual<Value: HasUsualValue>: Sendable, Equatable {
    private final class Box: Sendable {
        let value: Value

        init(_ value: Value) { self.value = value }
    }

    private var box: Box?

    public init(wrappedValue: Value) { box = wrappedValue == Value() ? nil : Box(wrappedValue) }

    public var wrappedValue: Value {
        get { box?.value ?? Value() }
        set { box = newValue == Value() ? nil : Box(newValue) }
    }

    public static func == (left: Self, right: Self) -> Bool {
        if left.box === right.box { return true }
        guard let left = left.box, let right = right.box else { return false }
        return left.value == right.value
    }
}

extension ClusterBalancing: HasUsualValue {}
extension EndpointCheck: HasUsualValue {}
extension HTTP2Options: HasUsualValue {}
extension Limits: HasUsualValue {}
extension NameLookup: HasUsualValue {}
extension OriginalDestination: HasUsualValue {}

extension Fraction: HasUsualValue {
    public init() { self = .none }
}
