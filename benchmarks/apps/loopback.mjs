// Loaded before a server that has no option for the address it listens on: whatever
// port it opens, it opens it on the loopback interface only.
import { Server } from "node:net";

const listen = Server.prototype.listen;

Server.prototype.listen = function (first, ...rest) {
  if (typeof first === "number") {
    const callback = rest.find((each) => typeof each === "function");
    return listen.call(this, { port: first, host: "127.0.0.1" }, callback);
  }
  return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
};
