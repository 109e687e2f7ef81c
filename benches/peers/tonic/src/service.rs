//! What tonic's build generates for `service Bench { rpc Nothing(Empty) returns (Empty); rpc Take(BytesValue)
//! returns (Empty); }`, without the parts that nobody calls.

use std::convert::Infallible;
use std::sync::Arc;
use tonic::codegen::{Body, BoxFuture, Context, Poll, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// The server.
#[derive(Clone, Default)]
pub struct BenchServer {
    inner: Arc<()>,
}

struct Nothing;

impl UnaryService<()> for Nothing {
    type Response = ();
    type Future = BoxFuture<Response<()>, Status>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        Box::pin(async { Ok(Response::new(())) })
    }
}

struct Take;

impl UnaryService<Vec<u8>> for Take {
    type Response = ();
    type Future = BoxFuture<Response<()>, Status>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        std::hint::black_box(request.get_ref().len());
        Box::pin(async { Ok(Response::new(())) })
    }
}

impl<B> Service<http::Request<B>> for BenchServer
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: http::Request<B>) -> Self::Future {
        let _inner = Arc::clone(&self.inner);
        match req.uri().path() {
            "/vaccel.Bench/Nothing" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<(), ()>::default());
                Ok(grpc.unary(Nothing, req).await)
            }),
            "/vaccel.Bench/Take" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<(), Vec<u8>>::default());
                Ok(grpc.unary(Take, req).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) }),
        }
    }
}

impl NamedService for BenchServer {
    const NAME: &'static str = "vaccel.Bench";
}

/// The client.
pub struct BenchClient {
    inner: tonic::client::Grpc<tonic::transport::Channel>,
}

impl BenchClient {
    /// Calls through a channel.
    pub fn new(channel: tonic::transport::Channel) -> Self {
        Self {
            inner: tonic::client::Grpc::new(channel),
        }
    }

    /// The empty call.
    pub async fn nothing(&mut self) -> Result<(), Status> {
        self.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/vaccel.Bench/Nothing");
        let codec = ProstCodec::<(), ()>::default();
        let response = self.inner.unary(Request::new(()), path, codec).await?;
        Ok(response.into_inner())
    }

    /// The call with bytes.
    pub async fn take(&mut self, bytes: Vec<u8>) -> Result<(), Status> {
        self.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/vaccel.Bench/Take");
        let codec = ProstCodec::<Vec<u8>, ()>::default();
        let response = self.inner.unary(Request::new(bytes), path, codec).await?;
        Ok(response.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.inner.ready().await;
        ready.map_err(|e| Status::unknown(format!("the service is not ready: {e}")))
    }
}
