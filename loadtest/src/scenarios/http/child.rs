//! A server in a process of its own. Its line: `listening ADDR`. It ends with its parent.

use std::net::SocketAddr;

use stockade::Engine;
use stockade::http::auth::keys::{Key, Keys};
use stockade::http::config::HttpConfig;
use stockade::http::secret::Secret;
use stockade::http::server::Server;
use stockade::http::{App, Live, router};
use tokio::net::TcpListener;

use super::{IN_STOCK, SECRET, SOLD_OUT, bare};
use crate::cli::{HttpServerArgs, ServerKind};
use crate::process::{die_with_parent, say};
use crate::{Failure, shop};

/// Units that no run sells out.
const UNITS: u64 = 1 << 40;
/// Commands that the engine takes at a time.
const COMMANDS_MAX: u64 = 1 << 17;

pub(crate) async fn run(args: HttpServerArgs) -> Result<(), Failure> {
    die_with_parent();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    if args.kind == ServerKind::Bare {
        let listener = TcpListener::bind(loopback).await?;
        say(&format!("listening {}", listener.local_addr()?));
        return bare::serve(listener).await;
    }
    let mut config = HttpConfig::default();
    config.server.connections_max = 100_000;
    config.server.in_flight_max = args.in_flight_max;
    // As high as they go: asked, and never reached.
    config.limits.per_member_per_s = 1_000_000;
    config.limits.per_member_burst = 1_000_000;
    config.limits.per_address_per_s = 1_000_000;
    config.limits.per_address_burst = 1_000_000;
    let keys = Keys::new(vec![Key::hs256("a", &Secret::new(SECRET)?)?])?;
    let live = Live::with_keys(&config, keys)?;
    let data = args.engine.data.clone().ok_or("name a directory")?;
    // As `stockade serve` does: the engine has threads of its own, which live as long as the process.
    let threads = tokio::runtime::Builder::new_multi_thread().thread_name("engine").enable_all().build()?;
    let opening = threads.spawn(Engine::open(shop::config(&data, &args.engine, COMMANDS_MAX)));
    std::mem::forget(threads);
    let engine = opening.await??;
    shop::stock(&engine, SOLD_OUT, 0, |sku| if sku == IN_STOCK { UNITS } else { 0 }).await?;
    let server = Server::bind(loopback, config.server.limits())?;
    let addr = server.local_addr()?;
    let (routes, _) = router(App::new(engine, live));
    let serving = server.serve(routes, std::future::pending())?;
    say(&format!("listening {addr}"));
    serving.await;
    Ok(())
}
