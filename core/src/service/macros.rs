//! The macro of a declaration.

/// Declares a service: makes a module with what both ends need of it. See [`service`](mod@crate::service)
/// for a whole one.
///
/// ```text
///   /// Documentation, also of commands and arguments.
///   pub service NAME<'a> {                        'a: where arguments or answers borrow, as `&'a str`
///       fn COMMAND(ARGUMENT: TYPE [BOUNDS] = DEFAULT, …)  as many as need be
///           <- Stream                             the command takes data
///           -> ANSWER                             a type, `Values<TYPE>` or `Stream`; nothing without it
///           where NOTES;
///   }
/// ```
/// - Types: [`Typed`](crate::service::Typed) has them all. An argument with a default may be left out by
///   callers, and so may an `Option`; in clients arguments with a default (also `= None`) are methods, the
///   others parameters.
/// - Bounds: the functions of [`bounds`](crate::service::bounds). Notes: the items of
///   [`notes`](crate::service::notes).
/// - A command or argument has the name that it is written with, or the one after `as`:
///   `fn disk_free as "disk-free"()`. (`reply` is no name of an argument.)
///
/// The module has:
/// - `Command`, an enum with a variant for each command, of the same name, that holds the arguments and
///   `reply`, its [`Reply`](crate::service::Reply); `Command::read` makes one of a server's command. What
///   it cannot, unknown commands and arguments, wrong types, values out of range, data where none is taken
///   and the reverse, is answered with the [`AutoReply`](crate::service::AutoReply) that it gives.
/// - `Client`, over any [client](crate::service::Client), with a method for each command, and `call` with
///   the calls that those make.
/// - `Serve`, a trait of async functions for servers on hosts, and `Server`, which a host's router takes.
/// - `DESCRIPTION`, which is the answer to `capabilities`, and `SCHEMA`, a hash of it without the
///   documentation. Both are composed by the compiler.
///
/// What is not used of it takes no flash.
#[macro_export]
macro_rules! service {
    (
        $(#[doc = $doc:literal])*
        $vis:vis service $service:ident <$life:lifetime> { $($body:tt)* }
    ) => {
        $crate::service! { @module $life [$life] [$($doc)*] [$vis] $service { $($body)* } }
    };
    (
        $(#[doc = $doc:literal])*
        $vis:vis service $service:ident { $($body:tt)* }
    ) => {
        $crate::service! { @module 'request [] [$($doc)*] [$vis] $service { $($body)* } }
    };
    (
        @module $life:lifetime [$($borrowed:lifetime)?] [$($doc:literal)*] [$vis:vis] $service:ident {
            $(
                $(#[doc = $cdoc:literal])*
                fn $command:ident $(as $cas:literal)? (
                    $(
                        $(#[doc = $adoc:literal])*
                        $arg:ident $(as $aas:literal)? : $type:ty
                            $([ $($bound:ident ($($bargs:tt)*)),+ $(,)? ])?
                            $(= $default:expr)?
                    ),* $(,)?
                )
                $(<- $data:ident)?
                $(-> $answer:ty)?
                $(where $($note:ident $(( $($nargs:tt)* ))?),+ $(,)?)? ;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[allow(
            missing_docs,
            non_camel_case_types,
            unreachable_pub,
            unused_imports,
            clippy::all,
            reason = "made by hgrpc::service!"
        )]
        $vis mod $service {
            use super::*;
            use $crate::service::{Stream, Values};

            /// A command that was called, with its arguments.
            #[derive(Debug)]
            pub enum Command $(<$borrowed>)? {
                $(
                    $(#[doc = $cdoc])*
                    $command {
                        $($(#[doc = $adoc])* $arg: $type,)*
                        /// Answers it.
                        reply: $crate::service::Reply<$crate::service!(@answer $($answer)?)>,
                    },
                )*
            }

            #[derive(Clone, Copy)]
            enum Place { $($command),* }

            const COMMANDS: &[$crate::service::Declared<Place>] = &[$(
                $crate::service::Declared {
                    place: Place::$command,
                    name: $crate::types!(@name $command $($cas)?),
                    keys: &[$($crate::types!(@name $arg $($aas)?)),*],
                    takes_data: $crate::service!(@is_data $($data)?),
                },
            )*];

            impl<$life> Command $(<$borrowed>)? {
                /// Reads the command and its arguments.
                ///
                /// Work is linear in the request and the declaration.
                ///
                /// # Errors
                /// The answer to what cannot be run, and to `capabilities`: send it.
                #[inline]
                pub fn read(
                    command: $crate::server::Command<$life>,
                ) -> ::core::result::Result<Self, $crate::service::AutoReply<$life>> {
                    let mut found = [::core::option::Option::None; $crate::service::most_arguments(COMMANDS)];
                    let mut lookup = $crate::service::Lookup::new(&mut found);
                    'wrong: {
                        let ::core::option::Option::Some(place) = lookup.find(COMMANDS, &command) else {
                            break 'wrong;
                        };
                        match place {
                            $(Place::$command => {
                                enum Index { $($arg),* }
                                $(
                                    let ::core::option::Option::Some($arg) = $crate::service!(
                                        @take lookup [Index::$arg as ::core::primitive::usize] [$type]
                                            [$($($bound ($($bargs)*))+)?] $($default)?
                                    ) else {
                                        break 'wrong;
                                    };
                                )*
                                return ::core::result::Result::Ok(Self::$command {
                                    $($arg,)*
                                    reply: $crate::service::Reply::new(command.reply),
                                });
                            })*
                        }
                    }
                    ::core::result::Result::Err(
                        $crate::service::AutoReply::new(command.reply, lookup.problem(), &DESCRIPTION),
                    )
                }
            }

            impl<$life> Command $(<$borrowed>)? {
                const INFO: $crate::service::ServiceInfo<$life> = $crate::service::ServiceInfo {
                    name: ::core::stringify!($service),
                    doc: &[$($doc),*],
                    commands: &[$(
                        $crate::service::CommandInfo {
                            name: $crate::types!(@name $command $($cas)?),
                            doc: &[$($cdoc),*],
                            args: &[$(
                                $crate::service::ArgInfo {
                                    key: $crate::types!(@name $arg $($aas)?),
                                    doc: &[$($adoc),*],
                                    of: <$type as $crate::service::Typed>::TYPE,
                                    default: $crate::service!(@default $life [$type] [$($($bound ($($bargs)*))+)?] $($default)?),
                                    bounds: &[$($($crate::service!(@bound $life [$type] $bound $($bargs)*)),+)?],
                                },
                            )*],
                            takes_data: $crate::service!(@is_data $($data)?),
                            answer: <$crate::service!(@answer $($answer)?) as $crate::service::Answer>::ANSWER,
                            is_many: <$crate::service!(@answer $($answer)?) as $crate::service::Answer>::IS_MANY,
                            notes: &[$($($crate::service::notes::$note $(($($nargs)*))?),+)?],
                        },
                    )*],
                };
            }

            /// What `capabilities` answers.
            pub const DESCRIPTION: $crate::service::Description = {
                const BYTES: &[u8; $crate::service::composed_len(&Command::INFO)] =
                    &$crate::service::compose(&Command::INFO);
                $crate::service::Description::new(BYTES)
            };

            /// A hash of the description without its documentation: it differs where callers could tell.
            pub const SCHEMA: ::core::primitive::u64 = $crate::service::schema(&Command::INFO);

            /// The service, as a client sees it.
            #[derive(Clone, Copy, Debug)]
            pub struct Client<C>(C);

            impl<C: $crate::service::Client> Client<C> {
                /// Calls the service over this client.
                pub const fn new(client: C) -> Self {
                    Self(client)
                }

                $($crate::service! {
                    @call $life [$($cdoc)*] $command [$crate::types!(@name $command $($cas)?)] [] []
                        $([$($adoc)*] $arg [$crate::types!(@name $arg $($aas)?)] [$type] [$($default)?],)*
                })*
            }

            /// The service, as a host implements it: a function for each command.
            pub trait Serve<H: $crate::service::Host>: ::core::marker::Send + ::core::marker::Sync {
                $(
                    $(#[doc = $cdoc])*
                    fn $command<$life>(
                        &$life self,
                        $($arg: $type,)*
                        $(data: H::$data)?
                    ) -> impl ::core::future::Future<
                        Output = ::core::result::Result<
                            <$crate::service!(@answer $($answer)?) as $crate::service::Answer>::Given<H>,
                            H::Failure,
                        >,
                    > + ::core::marker::Send;
                )*
            }

            /// Runs the commands with what implements [`Serve`]: give it to a host's router.
            #[derive(Clone, Copy, Debug)]
            pub struct Server<S>(pub S);

            impl<H: $crate::service::Host, S: Serve<H> + 'static> $crate::service::Service<H> for Server<S> {
                const DESCRIPTION: &'static $crate::service::Description = &DESCRIPTION;

                fn add_to<R: $crate::service::Routes<H, Self>>(routes: R) -> R {
                    $(let routes = routes.add::<call::$command<()>>($crate::types!(@name $command $($cas)?));)*
                    routes
                }
            }

            $(
                impl<H: $crate::service::Host, S: Serve<H>> $crate::service::Run<H, call::$command<()>> for Server<S> {
                    #[allow(unused_mut, unused_variables, reason = "where a command has no data or arguments")]
                    async fn run<$life>(
                        &$life self,
                        args: $crate::cbor::Args<$life>,
                        mut host: H,
                    ) -> ::core::result::Result<(), H::Failure> {
                        const DECLARED: &$crate::service::Declared<Place> =
                            &COMMANDS[Place::$command as ::core::primitive::usize];
                        let mut found = [::core::option::Option::None; DECLARED.keys.len()];
                        let mut lookup = $crate::service::Lookup::new(&mut found);
                        let has_data = $crate::service::Host::has_data(&host);
                        'wrong: {
                            if lookup.accept(DECLARED, args, has_data).is_none() {
                                break 'wrong;
                            }
                            enum Index { $($arg),* }
                            $(
                                let ::core::option::Option::Some($arg) = $crate::service!(
                                    @take lookup [Index::$arg as ::core::primitive::usize] [$type]
                                        [$($($bound ($($bargs)*))+)?] $($default)?
                                ) else {
                                    break 'wrong;
                                };
                            )*
                            let given = self.0.$command(
                                $($arg,)*
                                $($crate::service::Host::data(
                                    &mut host,
                                    ::core::marker::PhantomData::<$data>,
                                ))?
                            ).await?;
                            return <$crate::service!(@answer $($answer)?) as $crate::service::Answer>::give(
                                given, host,
                            ).await;
                        }
                        ::core::result::Result::Err(lookup.problem().into())
                    }
                }
            )*

            /// Calls that are being put together.
            pub mod call {
                use super::*;

                $(
                    $(#[doc = $cdoc])*
                    #[derive(Debug)]
                    #[must_use = "a call does nothing until it is sent"]
                    pub struct $command<R>(pub(super) R);

                    impl<$life> $crate::service::AnswerOf<$life> for $command<()> {
                        type Answer = $crate::service!(@answer $($answer)?);
                    }

                    impl<R: $crate::service::Request> $command<R> {
                        $($crate::service! {
                            @option $life [$($adoc)*] $arg [$crate::types!(@name $arg $($aas)?)] [$type] [$($default)?]
                        })*
                        $crate::service! { @data $($data)? }

                        /// Bounds the time that the call may take in all.
                        pub fn timeout(self, timeout: ::core::time::Duration) -> Self {
                            Self(self.0.timeout(timeout))
                        }

                        /// Changes the request: what this type has no method for.
                        pub fn with(self, change: impl ::core::ops::FnOnce(R) -> R) -> Self {
                            Self(change(self.0))
                        }

                        /// Sends it; `.await` alone does so too, where the client waits that way.
                        pub fn send(self) -> <<$command<()> as $crate::service::AnswerOf<'static>>::Answer as $crate::service::Answer>::From<R> {
                            <<$command<()> as $crate::service::AnswerOf<'static>>::Answer as $crate::service::Answer>::from(self.0)
                        }
                    }

                    impl<R: $crate::service::Request> ::core::future::IntoFuture for $command<R>
                    where
                        <<$command<()> as $crate::service::AnswerOf<'static>>::Answer as $crate::service::Answer>::From<R>: ::core::future::Future,
                    {
                        type Output = <Self::IntoFuture as ::core::future::Future>::Output;
                        type IntoFuture = <<$command<()> as $crate::service::AnswerOf<'static>>::Answer as $crate::service::Answer>::From<R>;

                        fn into_future(self) -> Self::IntoFuture {
                            self.send()
                        }
                    }
                )*
            }
        }
    };

    (@answer) => { () };
    (@answer $answer:ty) => { $answer };
    (@is_data) => { false };
    (@is_data Stream) => { true };
    (@is_data $other:ident) => { ::core::compile_error!("data is declared by `<- Stream`") };

    (@take $lookup:ident [$index:expr] [$type:ty] []) => {
        $lookup.take::<$type>($index, ::core::option::Option::None)
    };
    (@take $lookup:ident [$index:expr] [$type:ty] [] $default:expr) => {
        $lookup.take::<$type>($index, ::core::option::Option::Some($default))
    };
    (@take $lookup:ident [$index:expr] [$type:ty] [$($bound:ident ($($bargs:tt)*))+] $($default:expr)?) => {
        match $crate::service!(@take $lookup [$index] [$type] [] $($default)?) {
            ::core::option::Option::Some(value)
                if !(true $(&& $crate::service::bounds::Bound::<$type>::allows(
                    &$crate::service!(@bounds [$type] $bound $($bargs)*),
                    &value,
                ))+) =>
            {
                $lookup.wrong($index, $crate::service::Why::OutOfRange);
                ::core::option::Option::None
            }
            taken => taken,
        }
    };

    // A bound's value, as it is checked and as it is described.
    (@bounds [$type:ty] range $range:expr) => { $crate::service::bounds::range::<$type>($range) };
    (@bounds [$type:ty] $bound:ident $($bargs:tt)*) => { $crate::service::bounds::$bound($($bargs)*) };
    (@bound $life:lifetime [$type:ty] range $range:expr) => {{
        struct Least<$life>(::core::marker::PhantomData<&$life ()>);
        impl<$life> $crate::service::Constant for Least<$life> {
            type Type = <$type as $crate::service::bounds::Ranged>::Number;
            const VALUE: Self::Type = *$crate::service::bounds::range::<$type>($range).ends().0;
        }
        struct Most<$life>(::core::marker::PhantomData<&$life ()>);
        impl<$life> $crate::service::Constant for Most<$life> {
            type Type = <$type as $crate::service::bounds::Ranged>::Number;
            const VALUE: Self::Type = *$crate::service::bounds::range::<$type>($range).ends().1;
        }
        $crate::service::BoundInfo::Range(
            <<$type as $crate::service::bounds::Ranged>::Number as $crate::service::ToScalar<$life, Least<$life>>>::SCALAR,
            <<$type as $crate::service::bounds::Ranged>::Number as $crate::service::ToScalar<$life, Most<$life>>>::SCALAR,
        )
    }};
    (@bound $life:lifetime [$type:ty] unit $unit:expr) => { $crate::service::BoundInfo::Unit($unit) };
    (@bound $life:lifetime [$type:ty] $bound:ident $($bargs:tt)*) => { $crate::service::bounds::$bound($($bargs)*) };

    (@default $life:lifetime [$type:ty] $bounds:tt) => { ::core::option::Option::None };
    (@default $life:lifetime [$type:ty] [$($bound:ident ($($bargs:tt)*))*] $default:expr) => {{
        struct Default<$life>(::core::marker::PhantomData<&$life ()>);
        impl<$life> $crate::service::Constant for Default<$life> {
            type Type = $type;
            const VALUE: $type = $default;
        }
        $($crate::service!(@within $life [$type] $bound $($bargs)*);)*
        ::core::option::Option::Some(<$type as $crate::service::ToScalar<$life, Default<$life>>>::SCALAR)
    }};
    (@within $life:lifetime [$type:ty] range $range:expr) => {
        if let $crate::service::BoundInfo::Range(least, most) =
            $crate::service!(@bound $life [$type] range $range)
        {
            <$type as $crate::service::ToScalar<$life, Default<$life>>>::SCALAR.check(least, most);
        }
    };
    (@within $life:lifetime [$type:ty] $bound:ident $($bargs:tt)*) => {};

    // A client's method: arguments without a default are parameters.
    (@call $life:lifetime [$($doc:literal)*] $command:ident [$name:expr] [$($arg:ident [$key:expr] [$type:ty])*] []) => {
        $(#[doc = $doc])*
        pub fn $command<$life>(&self, $($arg: $type),*) -> call::$command<C::Request<'_>> {
            let request = $crate::service::Client::request(&self.0, $name);
            $(let request = $crate::service::Request::arg(request, $key, &$arg);)*
            call::$command(request)
        }
    };
    (@call $life:lifetime $doc:tt $command:ident $name:tt [$($taken:tt)*] [] $adoc:tt $arg:ident $key:tt $type:tt [], $($rest:tt)*) => {
        $crate::service! { @call $life $doc $command $name [$($taken)* $arg $key $type] [] $($rest)* }
    };
    (@call $life:lifetime $doc:tt $command:ident $name:tt $taken:tt [] $adoc:tt $arg:ident $key:tt $type:tt [$default:expr], $($rest:tt)*) => {
        $crate::service! { @call $life $doc $command $name $taken [] $($rest)* }
    };
    (@option $life:lifetime $doc:tt $arg:ident $key:tt $type:tt []) => {};
    (@option $life:lifetime [$($doc:literal)*] $arg:ident [$key:expr] [$type:ty] [$default:expr]) => {
        $(#[doc = $doc])*
        pub fn $arg<$life>(self, $arg: $type) -> Self {
            Self($crate::service::Request::arg(self.0, $key, &$arg))
        }
    };
    (@data) => {};
    (@data $data:ident) => {
        /// Has data follow, of any source that the client takes.
        pub fn data<D>(self, source: D) -> Self
        where
            R: $crate::service::Upload<D>,
        {
            Self($crate::service::Upload::data(self.0, source))
        }
    };
}
