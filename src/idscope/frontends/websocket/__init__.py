"""WebSockets on the HTTPS port: MQTT and AMQP in binary frames. HTTP asks `WebSocketEndpoints` whether an upgrade
request is meant for it, and hands the connection over."""

from idscope.frontends.websocket.endpoints import WebSocketEndpoints, WebSocketLimits

__all__ = ["WebSocketEndpoints", "WebSocketLimits"]
