import MeshPrimitives
import Proxy

extension AdminPages {
    /// Names and bound addresses: a port that was given as 0 is shown as what it became.
    func listeners(_ request: AdminRequest) -> AdminAnswer {
        guard let isJSON = isJSON(request) else { return Self.unknownFormat }
        let listeners = server.listenerAddresses
        guard isJSON else { return .text(listeners.map { "\($0.name)::\($0.address)\n" }.joined()) }
        let json = JSONOutput.document { json in
            json.array("listener_statuses") { json in
                for listener in listeners {
                    json.object { json in
                        json.value("name", listener.name)
                        json.socketAddress("local_address", listener.address)
                    }
                }
            }
        }
        return .json(json + [0x0a])
    }
}
