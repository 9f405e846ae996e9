//! smoke
use gaugeline_broker::{Broker, admin::Readiness, config::Config};
#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).unwrap();
    let config = Config::load(path.as_ref()).unwrap();
    let broker = Broker::start(&config, &Readiness::default(), vec![]).await.unwrap();
    eprintln!("{:?}", broker.bound());
    std::future::pending::<()>().await;
}
