import MeshModel
import MeshPrimitives

/// Builds the radix tree of a virtual host's paths.
struct PathTreeBuilder {
    private final class Node {
        var label: [UInt8]
        var children: [Node] = []
        var exact: [Int32] = []
        var prefix: [Int32] = []
        var separated: [Int32] = []

        init(label: [UInt8]) { self.label = label }
    }

    /// Letters of either case are the same: paths are kept, and have to be looked up, in lower case.
    let foldsCase: Bool
    private let root = Node(label: [])
    private(set) var isEmpty = true

    init(foldsCase: Bool = false) { self.foldsCase = foldsCase }

    /// Routes are inserted in ascending order of their index.
    mutating func insert(_ path: RouteMatch.Path, _ index: Int32) {
        switch path {
        case .prefix(let text): node(for: Array(text.utf8)).prefix.append(index)
        case .exact(let text): node(for: Array(text.utf8)).exact.append(index)
        case .separatedPrefix(let text): node(for: Array(text.utf8)).separated.append(index)
        case .regex, .connect: return
        }
        isEmpty = false
    }

    /// A route whose path begins with `prefix`, and must pass a test of its own besides.
    mutating func insert(prefix: [UInt8], _ index: Int32) {
        node(for: prefix).prefix.append(index)
        isEmpty = false
    }

    private func node(for path: [UInt8]) -> Node {
        var node = root
        var rest = (foldsCase ? path.map(\.asciiLowercased) : path)[...]
        while let first = rest.first {
            guard let place = node.children.firstIndex(where: { $0.label[0] == first }) else {
                let leaf = Node(label: Array(rest))
                node.children.append(leaf)
                return leaf
            }
            let child = node.children[place]
            let common = zip(child.label, rest).prefix { $0 == $1 }.count
            if common < child.label.count {
                let middle = Node(label: Array(child.label[..<common]))
                child.label.removeFirst(common)
                middle.children = [child]
                node.children[place] = middle
                node = middle
            } else {
                node = child
            }
            rest = rest.dropFirst(common)
        }
        return node
    }

    /// The nodes with the children of each side by side, and the lists that they refer to.
    func build(in arena: Arena) -> PathTree {
        var nodes: [PathNode] = []
        var lists: [Int32] = []
        func range(_ indices: [Int32]) -> IndexRange {
            let start = Int32(lists.count)
            lists += indices
            return IndexRange(start: start, count: Int32(indices.count))
        }
        var queue = [root]
        var next = 0
        while next < queue.count, !isEmpty {
            let node = queue[next]
            next += 1
            var record = PathNode(label: arena.store(bytes: node.label))
            record.firstChild = Int32(queue.count)
            record.childBytes = arena.store(bytes: node.children.map { $0.label[0] })
            record.exact = range(node.exact)
            record.prefix = range(node.prefix)
            record.separated = range(node.separated)
            nodes.append(record)
            queue += node.children
        }
        return PathTree(nodes: arena.store(nodes), lists: arena.store(lists))
    }
}

/// The paths of a virtual host's routes.
struct PathTree: BitwiseCopyable {
    /// The root first; empty if there are no routes.
    var nodes = Table<PathNode>()
    /// Indices of routes, ascending in each node's ranges.
    var lists = Table<Int32>()
}

/// A node of the radix tree: `label` leads to it from its parent; children lie together.
struct PathNode: BitwiseCopyable {
    var label: ByteView
    /// The first byte of each child's label, in the order of the children.
    var childBytes = ByteView("")
    var firstChild: Int32 = 0
    /// Ranges in `lists`.
    var exact = IndexRange()
    var prefix = IndexRange()
    var separated = IndexRange()
}

struct IndexRange: BitwiseCopyable {
    var start: Int32 = 0
    var count: Int32 = 0

    var isEmpty: Bool { count == 0 }
}
