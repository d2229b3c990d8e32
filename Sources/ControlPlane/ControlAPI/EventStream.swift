import AdminAPI
import Fleet
import Hummingbird
import ResourceStore

/// `/api/v1/events`: server-sent events (the HTML standard, section 9.2). A reader that comes back with `Last-Event-ID`
/// gets what it missed; `gap` says that it cannot, and should ask for the state again.
enum EventStream {
    static func answer(_ request: Request, _ feed: EventFeed) throws -> Response {
        let last = request.headers.first { $0.name.canonicalName == "last-event-id" }.flatMap {
            UInt64($0.value)
        }
        guard let items = feed.read(after: last) else {
            throw Problem(
                title: "Service Unavailable", status: 503,
                detail: "there are \(EventFeed.readersMax) readers of events already")
        }
        let body = ResponseBody { writer in
            // The head leaves with the first bytes.
            try await writer.write(ByteBuffer(string: ": martlet-control\n\n"))
            for await item in items { try await writer.write(ByteBuffer(string: text(item))) }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    static func text(_ item: EventFeed.Item) -> String {
        switch item {
        case .event(let event): "id: \(event.number)\nevent: \(event.name)\ndata: \(event.data)\n\n"
        case .gap: "event: gap\ndata: {}\n\n"
        case .pulse: ":\n\n"
        }
    }
}

extension EventFeed {
    /// What became of a look at the files: `revision` or `load`.
    public func publish(_ outcome: ResourceStore.Outcome) {
        switch outcome {
        case .accepted(let entry): publish("revision", RevisionRecord(entry))
        case .refused(let refusal): publish("load", ["refused": StoreStatus.Refusal(refusal)])
        case .mended: publish("load", [String: StoreStatus.Refusal]())
        }
    }
}

extension RevisionRecord {
    init(_ entry: RevisionLog.Entry) {
        self.init(
            revision: entry.revision, time: Fleet.text(entry.time),
            changes: entry.changes.map { change in
                let action: Change.Action =
                    switch change.action {
                    case .created: .created
                    case .changed: .changed
                    case .deleted: .deleted
                    }
                return Change(
                    action: action, kind: change.id.kind.rawValue, namespace: change.id.namespace,
                    name: change.id.name)
            })
    }
}

extension StoreStatus.Refusal {
    init(_ refusal: ResourceStore.Refusal) {
        self.init(time: Fleet.text(refusal.time), errors: refusal.errors)
    }
}
